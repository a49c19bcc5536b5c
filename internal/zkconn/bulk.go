package zkconn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/go-zookeeper/zk"
)

// ZooKeeper 3.6 and later read many nodes in one request, MultiRead, at a small
// part of the cost of as many requests: a cold start is several times as fast,
// and a deployment of a thousand nodes is no storm. The library does not know
// it, but it knows Multi, whose form is the same. So a bulk read is given to the
// library as a Multi of version checks, which we use for nothing else, and the
// link exchanges it on its way:
//
//	library -> Multi{Check(path, ticket) …} -> link -> MultiRead{GetData(path) …} -> server
//	library <- Multi{}                      <- link <- MultiRead{Data, Stat …}    <- server
//	                                           link -> the ticket's holder
//
// Order, link errors and the end of the session stay the library's business. A
// server that does not know MultiRead says so, and is not asked again.
const (
	opGetData   = 4
	opCheck     = 13
	opMulti     = 14
	opMultiRead = 22
)

// bulkNodes bounds the nodes of one bulk read, and bulkBytes its answer: what
// is larger is read node by node.
const (
	bulkNodes = 64
	bulkBytes = 8 << 20
)

var (
	errNoBulk   = errors.New("the server does not know MultiRead")
	errBulkSize = errors.New("the answer is too large for one request")
)

// The server's error codes that matter here.
const (
	codeUnimplemented = -6
	codeNoNode        = -101
	codeNoAuth        = -102
)

// tickets hands the answers to bulk reads from the link to their callers.
type tickets struct {
	mu      sync.Mutex
	last    int32
	waiting map[int32]chan bulkAnswer
}

type bulkAnswer struct {
	body []byte
	err  error
}

func (t *tickets) draw() (int32, <-chan bulkAnswer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	answer := make(chan bulkAnswer, 1)
	t.waiting[t.last] = answer
	return t.last, answer
}

// give answers a ticket, once; a ticket that was given back takes no answer.
func (t *tickets) give(ticket int32, a bulkAnswer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if answer, ok := t.waiting[ticket]; ok {
		answer <- a
		delete(t.waiting, ticket)
	}
}

func (t *tickets) back(ticket int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.waiting, ticket)
}

// bulkGet reads nodes, given by the server's paths, in one request.
func (s *session) bulkGet(nodes []string, each func(i int, n Node, err error)) error {
	ticket, answer := s.dialer.tickets.draw()
	defer s.dialer.tickets.back(ticket)
	ops := make([]any, len(nodes))
	for i, p := range nodes {
		ops[i] = &zk.CheckVersionRequest{Path: p, Version: ticket}
	}
	if _, err := s.zk.Multi(ops...); err != nil {
		select {
		case a := <-answer: // the server has refused it
			return errors.Join(a.err, err)
		default:
			return err
		}
	}
	a := <-answer // it is there before the library's own
	if a.err != nil {
		return a.err
	}
	return parseBulk(a.body, len(nodes), each)
}

// exchange turns the library's Multi into the body of a MultiRead, appended to
// out; its operation is still to be set.
func exchange(out, p []byte) (frame []byte, ticket int32, ok bool) {
	const head, opHead = 12, 9 // length, xid, operation; type, done, error
	out = append(out, p[:head]...)
	for at := head; ; {
		if len(p) < at+opHead {
			return nil, 0, false
		}
		if p[at+4] != 0 { // done
			out = append(out, p[at:]...)
			break
		}
		if binary.BigEndian.Uint32(p[at:]) != opCheck || len(p) < at+opHead+4 {
			return nil, 0, false
		}
		end := at + opHead + 4 + int(binary.BigEndian.Uint32(p[at+opHead:]))
		if len(p) < end+4 {
			return nil, 0, false
		}
		ticket = int32(binary.BigEndian.Uint32(p[end:]))
		out = binary.BigEndian.AppendUint32(out, opGetData)
		out = append(out, p[at+4:end]...)
		out = append(out, 0) // no watch: the library would not know of it
		at = end + 4
	}
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	return out, ticket, ticket != 0
}

// noResults is the end of a Multi's answer: type -1, done, error -1.
var noResults = [9]byte{0xff, 0xff, 0xff, 0xff, 1, 0xff, 0xff, 0xff, 0xff}

// answerHead is the length, xid, transaction and error code of an answer.
const answerHead = 4 + 4 + 8 + 4

// bulk takes the answer to a bulk read off the link and returns what the
// library gets in its place.
func (l *link) bulk(ticket int32, length int) ([]byte, error) {
	head := make([]byte, answerHead, answerHead+len(noResults))
	if _, err := io.ReadFull(l.in, head); err != nil {
		return nil, err
	}
	rest := length - (answerHead - 4)
	code := int32(binary.BigEndian.Uint32(head[16:]))
	a := bulkAnswer{}
	var err error
	switch {
	case rest < 0:
		return nil, fmt.Errorf("an answer of %d bytes is too short", length)
	case code == codeUnimplemented:
		a.err = errNoBulk
		_, err = l.in.Discard(rest)
	case rest > bulkBytes:
		a.err = errBulkSize
		_, err = l.in.Discard(rest)
	default:
		a.body = make([]byte, rest)
		_, err = io.ReadFull(l.in, a.body)
	}
	if err != nil {
		return nil, err
	}
	l.tickets.give(ticket, a)
	if code == 0 {
		head = append(head, noResults[:]...)
	}
	binary.BigEndian.PutUint32(head, uint32(len(head)-4))
	return head, nil
}

// parseBulk reads the results of a MultiRead of want nodes.
func parseBulk(body []byte, want int, each func(i int, n Node, err error)) error {
	r := reader{rest: body}
	for i := 0; ; i++ {
		kind, done := int32(r.uint32()), r.byte() != 0
		r.uint32() // an error code, which comes again below
		switch {
		case r.short:
			return errors.New("the answer to MultiRead is cut")
		case done && i == want:
			return nil
		case done || i == want:
			return fmt.Errorf("MultiRead of %d nodes got %d answers", want, i)
		}
		switch kind {
		case opGetData:
			n := Node{Data: r.bytes(), Stat: r.stat()}
			if !r.short {
				each(i, n, nil)
			}
		case -1:
			if code := int32(r.uint32()); !r.short {
				each(i, Node{}, codeError(code))
			}
		default:
			return fmt.Errorf("MultiRead got an answer of type %d", kind)
		}
	}
}

func codeError(code int32) error {
	switch code {
	case codeNoNode:
		return ErrNoNode
	case codeNoAuth:
		return ErrNoAuth
	}
	return fmt.Errorf("the server answers with error %d", code)
}

// reader takes values off a message; short tells that it was not long enough.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.short, r.rest = true, nil
		return make([]byte, 8)[:min(max(n, 0), 8)]
	}
	p := r.rest[:n]
	r.rest = r.rest[n:]
	return p
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) int64() int64   { return int64(binary.BigEndian.Uint64(r.take(8))) }

func (r *reader) bytes() []byte {
	n := int32(r.uint32())
	if n < 0 {
		return nil
	}
	return r.take(int(n))
}

func (r *reader) stat() Stat {
	return Stat{
		Czxid: r.int64(), Mzxid: r.int64(), Ctime: r.int64(), Mtime: r.int64(),
		Version: int32(r.uint32()), Cversion: int32(r.uint32()), Aversion: int32(r.uint32()),
		EphemeralOwner: r.int64(), DataLength: int32(r.uint32()), NumChildren: int32(r.uint32()), Pzxid: r.int64(),
	}
}
