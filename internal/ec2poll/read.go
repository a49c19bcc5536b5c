package ec2poll

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// The limits of one poll.
const (
	pollLimit    = time.Minute
	pageSize     = 1000 // the most that EC2 allows
	maxInstances = 100_000
)

// source reads all that a query yields. Calls never overlap. With afresh it
// looks for region and credentials again before.
type source struct {
	read  func(ctx context.Context, afresh bool) (*Answer, error)
	close func()
}

// openOver makes the source that asks EC2; it does no I/O.
func openOver(q Query, dial dialer) source {
	r := &reader{query: q, dial: dial}
	return source{read: r.read, close: r.close}
}

// reader is the source of one query. It belongs to the poll under way.
type reader struct {
	query  Query
	dial   dialer
	client *client // nil = not connected
}

func (r *reader) close() {
	if r.client != nil {
		r.client.close()
		r.client = nil
	}
}

func (r *reader) read(ctx context.Context, afresh bool) (answer *Answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, pollLimit)
	defer cancel()
	defer func() {
		if p := recover(); p != nil { // foreign bytes must not end the program
			answer, err = nil, &Fault{Region: r.query.Region, Call: "read", Err: fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	if afresh {
		r.close()
	}
	if r.client == nil {
		if r.client, err = r.connect(ctx); err != nil {
			return nil, err
		}
	}
	return r.pages(ctx)
}

func (r *reader) connect(ctx context.Context) (*client, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return connect(ctx, r.query, r.dial)
}

// pages reads page after page. One that is missing means no answer at all.
func (r *reader) pages(ctx context.Context) (*Answer, error) {
	in := &ec2.DescribeInstancesInput{
		MaxResults: aws.Int32(pageSize),
		Filters: []types.Filter{
			{Name: aws.String("tag-key"), Values: []string{literal(r.query.Tag)}},
			{Name: aws.String("instance-state-name"), Values: []string{"running"}},
		},
	}
	d := newDecoder()
	var all []Instance
	seen := map[string]bool{}
	for n := 1; ; n++ {
		p, err := r.client.read(ctx, in, d.page)
		all = append(all, p.instances...)
		switch {
		case err != nil:
		case seen[p.next]:
			err = errors.New("its token for the next page is one that it gave before")
		case len(all) > maxInstances:
			err = fmt.Errorf("more than %d instances have the tag", maxInstances)
		}
		if err != nil {
			return nil, &Fault{Region: r.client.region, Call: fmt.Sprintf("DescribeInstances by tag %q, page %d", r.query.Tag, n), Err: err}
		}
		if p.next == "" {
			return newAnswer(r.query.Tag, all), nil
		}
		seen[p.next] = true
		in.NextToken = aws.String(p.next)
	}
}

// literal escapes what EC2 takes for wildcards in a filter.
func literal(s string) string {
	var out []byte
	for i := range len(s) {
		if s[i] == '*' || s[i] == '?' || s[i] == '\\' {
			out = append(out, '\\')
		}
		out = append(out, s[i])
	}
	return string(out)
}
