package httpconn

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"testing"
	"time"
)

func TestPauses(t *testing.T) {
	for failures, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 6: 30 * time.Second, 99: 30 * time.Second} {
		if got := Backoff(failures, false, 1); got != want {
			t.Errorf("after %d failures %v, want %v", failures, got, want)
		}
		if got := Backoff(failures, false, 0); got != want/2 {
			t.Errorf("after %d failures %v, want %v at least", failures, got, want/2)
		}
	}
	if got := Backoff(99, true, 1); got != time.Minute {
		t.Errorf("refused: %v", got)
	}
}

func TestEndpointsInTurn(t *testing.T) {
	noTLS := func() (*tls.Config, error) { return nil, nil }
	c, err := New([]string{"a", "b", "c"}, 1, Dial, noTLS)
	if err != nil {
		t.Fatal(err)
	}
	sure, away := errors.New("there is no such thing"), errors.New("away")
	ctx, cancel := context.WithCancel(t.Context())
	for _, step := range []struct {
		name    string
		answers map[string]error // of those that are not away
		before  func()
		want    []string
		err     error
	}{
		{"the first that answers", map[string]error{"b": nil}, nil, []string{"a", "b"}, nil},
		{"is asked first", map[string]error{"b": nil}, nil, []string{"b"}, nil},
		{"a certain error is an answer", map[string]error{"a": sure}, nil, []string{"b", "c", "a"}, sure},
		{"nobody answers", nil, nil, []string{"a", "b", "c"}, away},
		{"another one begins", nil, nil, []string{"b", "c", "a"}, away},
		{"nobody waits any more", nil, cancel, []string{"c"}, away},
	} {
		if step.before != nil {
			step.before()
		}
		var asked []string
		err := c.Each(ctx, func(err error) bool { return errors.Is(err, sure) }, func(endpoint string) error {
			asked = append(asked, endpoint)
			if err, ok := step.answers[endpoint]; ok {
				return err
			}
			return away
		})
		if !slices.Equal(asked, step.want) || !errors.Is(err, step.err) {
			t.Errorf("%s: asked %v, %v", step.name, asked, err)
		}
	}
	if _, err := New(nil, 1, Dial, func() (*tls.Config, error) { return nil, away }); !errors.Is(err, away) {
		t.Errorf("a CA file that cannot be read: %v", err)
	}
}
