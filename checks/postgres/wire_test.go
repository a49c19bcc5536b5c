package postgres

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"smartstack/internal/checkconn"
)

// said builds what a server sends.
func said(kind byte, body string) string { return string(message(kind).raw(body).end()) }

func way(n uint32, rest string) string {
	return said('R', string(binary.BigEndian.AppendUint32(nil, n))+rest)
}

const ready = "Z\x00\x00\x00\x05I"

// talk lets the check talk to a server that says text, whatever it is asked.
func talk(t *testing.T, text string, private bool) (string, error) {
	t.Helper()
	var heard bytes.Buffer
	c := build(t, Options{Target: checkconn.Target{Host: "h", Port: 1}, Username: "nerve"})
	w := &wire{r: bufio.NewReader(strings.NewReader(text)), w: &heard, private: private}
	err := c.talk(w, "secret")
	return heard.String(), err
}

func session() string {
	return way(authOK, "") + said('S', "a\x00b\x00") + said('K', "12345678") + ready +
		said('T', "") + said('D', "\x00\x01\x00\x00\x00\x011") + said('C', "SELECT 1\x00") + ready
}

func TestSession(t *testing.T) {
	heard, err := talk(t, session(), false)
	if err != nil || !strings.HasSuffix(heard, "Q\x00\x00\x00\x0dSELECT 1\x00X\x00\x00\x00\x04") {
		t.Errorf("%v, heard %q", err, heard)
	}
	for n := range len(session()) {
		if _, err := talk(t, session()[:n], false); err == nil {
			t.Errorf("healthy after %d bytes", n)
		}
	}
}

// The password stays with us unless the server's way is a safe one.
func TestPasswordStaysPrivate(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		private    bool
		want       string
	}{
		{"as it is", way(authPassword, ""), false, "where others could read it"},
		{"as it is, unseen", way(authPassword, "") + session(), true, ""},
		{"MD5 without salt", way(authMD5, "xy"), false, "a salt is cut off"},
		{"SASL without SCRAM", way(authSASL, "OTHER\x00\x00"), false, "want SCRAM-SHA-256"},
		{"goes on with nothing", way(authContinue, "r=x,s=eA==,i=1"), false, "was not begun"},
		{"SCRAM of another", way(authSASL, mechanism+"\x00\x00") + way(authContinue, "r=x,s=eA==,i=1"), false, "does not answer what it was asked"},
		{"SCRAM without proof", way(authSASL, mechanism+"\x00\x00") + way(authOK, ""), false, "has not proven"},
		{"SCRAM ends early", way(authSASL, mechanism+"\x00\x00") + way(authFinal, "v=eA=="), false, "has not proven"},
		{"SCRAM fails", way(authSASL, mechanism+"\x00\x00") + way(authFinal, "e=other-error"), false, `says "e=other-error"`},
		{"another way", way(7, ""), false, "a way to log in that this check has not (7)"},
		{"no way", said('R', "x"), false, "cut off"},
		{"no PostgreSQL", "HTTP/1.1 400\r\n", false, "does not speak"},
	} {
		heard, err := talk(t, tc.text, tc.private)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: got %v, want %q in it", tc.name, err, tc.want)
		}
		if strings.Contains(heard, "secret") != tc.private {
			t.Errorf("%s: said %q", tc.name, heard)
		}
	}
}

// The example of RFC 7677.
func TestScram(t *testing.T) {
	s := &scram{password: "pencil", nonce: "rOprNGfwEbeRWgbNEkqO"}
	const server = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
	if _, err := s.final(server); err != nil {
		t.Fatal(err)
	}
	// The RFC's message names the user, which PostgreSQL leaves empty.
	for _, bad := range []string{"", "v=", "v=AAAA", "e=invalid-proof"} {
		if s.verify(bad) == nil || s.proven {
			t.Errorf("%q is taken for a proof", bad)
		}
	}
}

func TestChallenges(t *testing.T) {
	for _, bad := range []string{"", "r=a", "r=a,s=eA==", "r=a,s=,i=1", "r=a,s=?,i=1", "r=a,s=eA==,i=0", "r=a,s=eA==,i=100001", "r=a,s=eA==,i=x", "m=x,r=a,s=eA==,i=1"} {
		if _, _, _, err := challenge(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// FuzzServer is a server that says anything.
func FuzzServer(f *testing.F) {
	f.Add([]byte(session()))
	f.Add([]byte(way(authSASL, mechanism+"\x00\x00") + way(authContinue, "r=x,s=eA==,i=1")))
	f.Add([]byte(way(authMD5, "salt") + said('E', "C28P01\x00Mno\x00\x00")))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = talk(t, string(data), false)
	})
}

func FuzzChallenge(f *testing.F) {
	f.Add("r=nonceX,s=c2FsdA==,i=4096")
	f.Fuzz(func(t *testing.T, text string) {
		_, salt, iterations, err := challenge(text)
		if err == nil && (len(salt) == 0 || iterations < 1 || iterations > maxIterations) {
			t.Errorf("%q: %d bytes of salt, %d iterations", text, len(salt), iterations)
		}
	})
}
