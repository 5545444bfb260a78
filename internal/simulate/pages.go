package simulate

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
)

// WriteJSON answers with JSON.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone needs no answer
}

// WritePage answers with a page for people, as proxies and unknown paths do.
func WritePage(w http.ResponseWriter, status int, title, text string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<!DOCTYPE html>\n<html lang=\"en\"><title>%s</title><p>%s</p></html>\n",
		html.EscapeString(title), html.EscapeString(text))
}

// WriteConsent answers with the page where one of people consents that an application of service reads what. It comes
// back to where it is as a POST of person, and of refuse if they do not consent.
func WriteConsent(w http.ResponseWriter, service, what string, people []string) {
	var options strings.Builder
	for _, name := range people {
		fmt.Fprintf(&options, "<option>%s</option>", html.EscapeString(name))
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, "<!doctype html><title>Simulated %[1]s</title><h1>Simulated %[1]s</h1><p>An application wants to read: %[2]s"+
		"</p><form method=\"post\"><select name=\"person\">%[3]s</select> <button>Allow</button> "+
		"<button name=\"refuse\" value=\"1\">Refuse</button></form>\n",
		html.EscapeString(service), html.EscapeString(what), options.String())
}

// Redirect sends a browser to the redirect URL of an application with an answer.
func Redirect(w http.ResponseWriter, r *http.Request, redirect string, answer url.Values) {
	sep := "?"
	if strings.Contains(redirect, "?") {
		sep = "&"
	}
	http.Redirect(w, r, redirect+sep+answer.Encode(), http.StatusFound)
}

// Bearer returns the access token of a request; "" if it has none.
func Bearer(r *http.Request) string {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return ""
	}
	return token
}
