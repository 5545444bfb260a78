// Package oura reads days of activity and workouts from the Oura API, version 2.
package oura
