package postgres

import (
	"bufio"
	"crypto/md5" // #nosec G501: one of the server's ways to log in
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"smartstack/internal/checkconn"
)

// The part of PostgreSQL's protocol, version 3, that the check speaks.
const (
	version    = 3 << 16
	sslRequest = 1234<<16 | 5679
)

// msg is a message being built: a kind, unless it is 0, then its length, which
// end fills in.
type msg struct {
	b    []byte
	from int // where the length stands
}

func message(kind byte) msg {
	if kind == 0 {
		return msg{b: make([]byte, 4)}
	}
	return msg{b: []byte{kind, 0, 0, 0, 0}, from: 1}
}

func (m msg) byte(v byte) msg   { m.b = append(m.b, v); return m }
func (m msg) long(v uint32) msg { m.b = binary.BigEndian.AppendUint32(m.b, v); return m }
func (m msg) raw(s string) msg  { m.b = append(m.b, s...); return m }
func (m msg) text(s string) msg { return m.raw(s).byte(0) }

func (m msg) end() []byte {
	binary.BigEndian.PutUint32(m.b[m.from:], uint32(len(m.b)-m.from))
	return m.b
}

// wire is one connection, used by one goroutine.
type wire struct {
	r       *bufio.Reader
	w       io.Writer
	private bool // nobody reads along
	scram   *scram
}

var errNoPostgres = errors.New("the target does not speak PostgreSQL's protocol")

// read reads one message.
func (w *wire) read() (kind byte, body []byte, err error) {
	var header [5]byte
	if _, err := io.ReadFull(w.r, header[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(header[1:])
	if kind = header[0]; size < 4 || size > checkconn.MaxRead || kind < 'A' || kind > 'z' {
		return 0, nil, fmt.Errorf("%w: a message begins with %q", errNoPostgres, header[:])
	}
	// What is claimed is allocated only as it comes.
	body, err = io.ReadAll(io.LimitReader(w.r, int64(size-4)))
	if err == nil && len(body) < int(size-4) {
		err = io.ErrUnexpectedEOF
	}
	return kind, body, err
}

// unexpected explains a message that nobody has waited for.
func unexpected(kind byte, body []byte) error {
	if kind != 'E' {
		return fmt.Errorf("%w: a message of kind %q", errNoPostgres, kind)
	}
	var code, text string
	for field := range strings.SplitSeq(string(body), "\x00") {
		switch {
		case strings.HasPrefix(field, "C"):
			code = field[1:]
		case strings.HasPrefix(field, "M"):
			text = field[1:]
		}
	}
	return fmt.Errorf("the server says %s (%s)", strconv.Quote(text), strconv.QuoteToASCII(code))
}

// The server's ways to log in.
const (
	authOK       = 0
	authPassword = 3
	authMD5      = 5
	authSASL     = 10
	authContinue = 11
	authFinal    = 12
)

// authenticate answers one request of the server.
func (w *wire) authenticate(body []byte, user, password string) error {
	if len(body) < 4 {
		return fmt.Errorf("%w: a way to log in is cut off", errNoPostgres)
	}
	way, rest := binary.BigEndian.Uint32(body), body[4:]
	if way == authOK {
		if w.scram != nil && !w.scram.proven {
			return errors.New("the server has not proven that it knows the password")
		}
		return nil
	}
	if password == "" {
		return errors.New("the server wants a password; set password_file")
	}
	answer, err := w.answer(way, rest, user, password)
	if err != nil || answer == nil {
		return err
	}
	_, err = w.w.Write(answer)
	return err
}

// answer returns what to send; nil for nothing.
func (w *wire) answer(way uint32, rest []byte, user, password string) ([]byte, error) {
	switch way {
	case authPassword:
		if !w.private {
			return nil, errors.New("the server wants the password as it is, where others could read it: set ssl, and ssl_verify")
		}
		return message('p').text(password).end(), nil
	case authMD5:
		if len(rest) < 4 {
			return nil, fmt.Errorf("%w: a salt is cut off", errNoPostgres)
		}
		inner := digest(password + user)
		return message('p').text("md5" + digest(inner+string(rest[:4]))).end(), nil
	case authSASL:
		if !strings.Contains("\x00"+string(rest), "\x00"+mechanism+"\x00") {
			return nil, fmt.Errorf("the server offers %q, want %s", rest, mechanism)
		}
		w.scram = newScram(password)
		first := w.scram.first()
		return message('p').text(mechanism).long(uint32(len(first))).raw(first).end(), nil
	case authContinue, authFinal:
		if w.scram == nil {
			return nil, fmt.Errorf("%w: it goes on with what was not begun", errNoPostgres)
		}
		if way == authFinal {
			return nil, w.scram.verify(string(rest))
		}
		last, err := w.scram.final(string(rest))
		if err != nil {
			return nil, err
		}
		return message('p').raw(last).end(), nil
	}
	return nil, fmt.Errorf("the server wants a way to log in that this check has not (%d): use a password", way)
}

func digest(s string) string {
	sum := md5.Sum([]byte(s)) // #nosec G401: one of the server's ways to log in
	return hex.EncodeToString(sum[:])
}

// ask returns the first column of the first row.
func (w *wire) ask(query string) (first string, rows int, err error) {
	if _, err := w.w.Write(message('Q').text(query).end()); err != nil {
		return "", 0, err
	}
	for {
		kind, body, err := w.read()
		if err != nil {
			return "", 0, err
		}
		switch kind {
		case 'D':
			if rows++; rows == 1 {
				if first, err = column(body); err != nil {
					return "", 0, err
				}
			}
		case 'Z':
			return first, rows, nil
		case 'T', 'C', 'I', 'N', 'S', 'A': // heads, ends and notices
		default:
			return "", 0, unexpected(kind, body)
		}
	}
}

// column returns the first column of a row.
func column(row []byte) (string, error) {
	if len(row) < 2 {
		return "", fmt.Errorf("%w: a row is cut off", errNoPostgres)
	}
	if binary.BigEndian.Uint16(row) == 0 {
		return "", nil
	}
	if len(row) < 6 {
		return "", fmt.Errorf("%w: a row is cut off", errNoPostgres)
	}
	size, value := binary.BigEndian.Uint32(row[2:]), row[6:]
	switch {
	case size == 1<<32-1:
		return "NULL", nil
	case uint64(size) > uint64(len(value)):
		return "", fmt.Errorf("%w: a row is cut off", errNoPostgres)
	}
	return string(value[:size]), nil
}
