// Package notify delivers messages: the contract of channels, and the Courier that takes what is due from a durable
// queue and makes one attempt at a time, each noted before and after. A channel has a folder of its own below.
package notify
