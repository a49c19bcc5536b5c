package postgres

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// mechanism is the way to log in of every server since PostgreSQL 10 (RFC 5802
// and 7677), without channel binding.
const mechanism = "SCRAM-SHA-256"

// maxIterations bounds the work that a server may ask for; servers ask for 4096.
const maxIterations = 100_000

// scram is one login.
type scram struct {
	password  string
	nonce     string // ours
	signature []byte // what the server will prove itself with
	proven    bool
}

func newScram(password string) *scram { return &scram{password: password, nonce: rand.Text()} }

func (s *scram) bare() string { return "n=,r=" + s.nonce }

// first is our first message. The name is empty: the server knows it.
func (s *scram) first() string { return "n,," + s.bare() }

// final answers the server's first message.
func (s *scram) final(server string) (string, error) {
	nonce, salt, iterations, err := challenge(server)
	if err != nil {
		return "", fmt.Errorf("%s: %w", mechanism, err)
	}
	if !strings.HasPrefix(nonce, s.nonce) || nonce == s.nonce {
		return "", errors.New(mechanism + ": the server does not answer what it was asked")
	}
	key, err := pbkdf2.Key(sha256.New, s.password, salt, iterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("%s: %w", mechanism, err)
	}
	last := "c=biws,r=" + nonce // biws is "n,,"
	signed := s.bare() + "," + server + "," + last
	ours := mac(key, "Client Key")
	stored := sha256.Sum256(ours)
	proof := mac(stored[:], signed)
	subtle.XORBytes(proof, proof, ours)
	s.signature = mac(mac(key, "Server Key"), signed)
	return last + ",p=" + base64.StdEncoding.EncodeToString(proof), nil
}

// verify looks at the server's last message.
func (s *scram) verify(server string) error {
	text, ok := strings.CutPrefix(server, "v=")
	if !ok {
		return fmt.Errorf("%s: the server says %s", mechanism, strconv.Quote(server))
	}
	got, err := base64.StdEncoding.DecodeString(text)
	if err != nil || s.signature == nil || !hmac.Equal(got, s.signature) {
		return errors.New(mechanism + ": the server has not proven that it knows the password")
	}
	s.proven = true
	return nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// challenge reads "r=nonce,s=salt,i=iterations".
func challenge(text string) (nonce string, salt []byte, iterations int, err error) {
	fields := strings.SplitN(text, ",", 4)
	if len(fields) < 3 || !strings.HasPrefix(fields[0], "r=") || !strings.HasPrefix(fields[1], "s=") || !strings.HasPrefix(fields[2], "i=") {
		return "", nil, 0, fmt.Errorf("%s is no challenge", strconv.Quote(text))
	}
	salt, err = base64.StdEncoding.DecodeString(fields[1][2:])
	if err != nil || len(salt) == 0 {
		return "", nil, 0, fmt.Errorf("%s has no salt", strconv.Quote(text))
	}
	iterations, err = strconv.Atoi(fields[2][2:])
	if err != nil || iterations < 1 || iterations > maxIterations {
		return "", nil, 0, fmt.Errorf("want 1 to %d iterations, got %s", maxIterations, strconv.Quote(fields[2]))
	}
	return fields[0][2:], salt, iterations, nil
}
