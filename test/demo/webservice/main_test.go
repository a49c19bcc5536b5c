package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestStates(t *testing.T) {
	s := &webService{name: "web-1"}
	if err := s.become(healthy); err != nil {
		t.Fatal(err)
	}
	h := s.handler()
	ask := func(method, path string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, http.NoBody))
		return w.Code
	}
	for _, step := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/health", 200},
		{"POST", "/become/broken", 200},
		{"GET", "/health", 503},
		{"GET", "/", 503},
		{"POST", "/become/tired", 400},
		{"GET", "/", 503},
		{"POST", "/become/healthy", 200},
		{"GET", "/", 200},
	} {
		if got := ask(step.method, step.path); got != step.want {
			t.Errorf("%s %s: %d, want %d", step.method, step.path, got, step.want)
		}
	}
}
