package ec2poll

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"smartstack/test/ec2fake"
)

// readAll reads q once, in full.
func readAll(t *testing.T, q Query) (*Answer, error) {
	t.Helper()
	s := openOver(q, nil)
	defer s.close()
	return s.read(t.Context(), false)
}

func TestReadsAllPages(t *testing.T) {
	fake := ec2fake.Start(t)
	all := fleet(25)
	all[3].State, all[4].State, all[5].Tags = "stopped", "terminated", map[string]string{"other": "service5"}
	fake.Set(all...)
	fake.PageSize(7)
	a, err := readAll(t, Query{Tag: "role"})
	if err != nil || len(a.All()) != 22 || len(a.With("service24")) != 1 {
		t.Fatalf("%+v, %v", a, err)
	}
	calls := fake.Calls()
	form := calls[0].Form
	if len(calls) != 4 || form.Get("MaxResults") != "1000" || form.Get("Filter.1.Name") != "tag-key" || form.Get("Filter.1.Value.1") != "role" ||
		form.Get("Filter.2.Name") != "instance-state-name" || form.Get("Filter.2.Value.1") != "running" {
		t.Errorf("%d calls, the first %v", len(calls), form)
	}
}

// TestLies: what is not a whole answer is an error that names region, call and
// cause, and never an answer.
func TestLies(t *testing.T) {
	page := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
	}
	whole := string(ec2fake.Page(fleet(2), ""))
	refuse := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { ec2fake.Refuse(w, status, code, "Because.") }
	}
	cases := []struct {
		name     string
		handle   http.HandlerFunc
		reason   string
		calls    int
		throttle bool
	}{
		{"nothing", page(""), "of 0 bytes ends in the middle", 1, false},
		{"a web page", page("<html><body>Sign in</body></html>"), "starts with <html>", 1, false},
		{"cut", page(whole[:len(whole)/2]), "ends in the middle", 1, false},
		{"broken off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
			fmt.Fprint(w, whole[:100])
		}, "unexpected EOF", 1, false},
		{"the same page for ever", page(string(ec2fake.Page(fleet(2), "again"))), "gave before", 2, false},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/login", http.StatusFound)
		}, "302", 1, false},
		{"asked too often", refuse(503, "RequestLimitExceeded"), "RequestLimitExceeded: Because. (the account's calls are used up", 1, true},
		{"throttling", refuse(400, "Throttling"), "Throttling: Because.", 1, true},
		{"overloaded", refuse(503, "Unavailable"), "Unavailable: Because.", 1, true},
		{"no permission", refuse(403, "UnauthorizedOperation"), "need the permission ec2:DescribeInstances", 1, false},
		{"wrong key", refuse(401, "AuthFailure"), "AuthFailure: Because. (check the access key", 1, false},
		{"broken", refuse(500, "InternalError"), "InternalError: Because.", attempts, false},
		{"broken proxy", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprint(w, "<html><body><h1>502 Bad Gateway</h1></body></html>")
		}, "502", attempts, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fake := ec2fake.Start(t)
			fake.Instead(c.handle)
			a, err := readAll(t, Query{Tag: "role", KeyID: "AKIDOPTION", Secret: "top-secret"})
			if err == nil {
				t.Fatalf("%+v", a)
			}
			for _, part := range []string{"ec2 in eu-west-1", `DescribeInstances by tag "role"`, c.reason} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not tell %q", err, part)
				}
			}
			if len(err.Error()) > 700 || strings.Contains(fmt.Sprintf("%v %+v", err, err), "top-secret") {
				t.Errorf("too long, or with the secret: %v", err)
			}
			if n := len(fake.Calls()); n != c.calls || throttled(err) != c.throttle {
				t.Errorf("%d calls, want %d; throttled is %v", n, c.calls, throttled(err))
			}
		})
	}
}

// TestPartIsNothing: when a later page fails, the earlier ones are no answer.
func TestPartIsNothing(t *testing.T) {
	fake := ec2fake.Start(t)
	fake.Set(fleet(10)...)
	fake.Instead(func(w http.ResponseWriter, r *http.Request) {
		if r.PostForm.Get("NextToken") != "" {
			ec2fake.Refuse(w, 503, "RequestLimitExceeded", "Request limit exceeded.")
			return
		}
		_, _ = w.Write(ec2fake.Page(fleet(5), "page-5"))
	})
	if a, err := readAll(t, Query{Tag: "role"}); a != nil || err == nil || !strings.Contains(err.Error(), "page 2") {
		t.Errorf("%v, %v", a, err)
	}
}

func TestCancelEndsACall(t *testing.T) {
	fake := ec2fake.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	fake.Instead(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	s := openOver(Query{Tag: "role"}, nil)
	defer s.close()
	if _, err := s.read(ctx, false); err == nil {
		t.Error("no error")
	}
}

// TestWhereCredentialsComeFrom: options first, then the chain of all AWS tools.
func TestWhereCredentialsComeFrom(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(profile, []byte("[here]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = s\nregion = sa-east-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name   string
		query  Query
		env    map[string]string
		signed string
	}{
		{"options", Query{Region: "us-east-2", KeyID: "AKIDOPTION", Secret: "s"}, nil, "AKIDOPTION/|/us-east-2/ec2/"},
		{"environment", Query{}, nil, "AKIDENV/|/eu-west-1/ec2/"},
		{"region alone", Query{Region: "us-west-1"}, nil, "AKIDENV/|/us-west-1/ec2/"},
		{"profile", Query{}, map[string]string{
			"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_REGION": "",
			"AWS_PROFILE": "here", "AWS_SHARED_CREDENTIALS_FILE": profile,
		}, "AKIDPROFILE/|/sa-east-1/ec2/"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fake := ec2fake.Start(t)
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			c.query.Tag = "role"
			if _, err := readAll(t, c.query); err != nil {
				t.Fatal(err)
			}
			for part := range strings.SplitSeq(c.signed, "|") {
				if signed := fake.Calls()[0].Signed; !strings.Contains(signed, part) {
					t.Errorf("%s does not hold %s", signed, part)
				}
			}
		})
	}
}

func TestNoRegionNoCredentials(t *testing.T) {
	ec2fake.Start(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if _, err := readAll(t, Query{Tag: "role"}); err == nil || !strings.Contains(err.Error(), "redentials") {
		t.Errorf("%v", err)
	}
	t.Setenv("AWS_REGION", "")
	if _, err := readAll(t, Query{Tag: "role"}); err == nil || !strings.Contains(err.Error(), "find the region: neither aws_region") {
		t.Errorf("%v", err)
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	q := Query{KeyID: "id", Secret: "top-secret", Tag: "role"}
	text, err := q.Secret.MarshalText()
	if all := fmt.Sprintf("%v %+v %#v %s %s %v", q, q, q, q.Secret, text, err); strings.Contains(all, "top-secret") {
		t.Error(all)
	}
}

func TestLiteral(t *testing.T) {
	if got := literal(`a*b?c\d`); got != `a\*b\?c\\d` {
		t.Error(got)
	}
}

// A tag whose name looks like a pattern is asked for as it is.
func TestNamesArePatternsToNobody(t *testing.T) {
	fake := ec2fake.Start(t)
	for _, tag := range []string{"ro*le", "ro?le", `ro\le`, `\*?`} {
		fake.Set(
			ec2fake.Instance{ID: "i-ours", PrivateIP: "10.0.0.1", Tags: map[string]string{tag: "web"}},
			ec2fake.Instance{ID: "i-other", PrivateIP: "10.0.0.2", Tags: map[string]string{"roxle": "web"}},
			ec2fake.Instance{ID: "i-longer", PrivateIP: "10.0.0.3", Tags: map[string]string{"roxxle": "web"}},
		)
		a, err := readAll(t, Query{Tag: tag})
		if err != nil || len(a.All()) != 1 || a.All()[0].ID != "i-ours" {
			t.Errorf("%s: %+v, %v", tag, a, err)
		}
	}
}
