package watchers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/config"
	"smartstack/internal/mailbox"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

func TestReadWeights(t *testing.T) {
	for text, want := range map[string]string{
		"---\nprimary: 3\nother: 0\n":     "primary 3, other 0",
		`{"a": 1}`:                        "a 1",
		"":                                "is empty",
		"{}":                              "add up to 0",
		"a: 0\nb: 0":                      "add up to 0",
		"a: -1\nb: 2":                     `weight of "a"`,
		"a: 1.5":                          `weight of "a"`,
		"a: '1'":                          `weight of "a"`,
		"a: yes":                          `weight of "a"`,
		"a: {b: 1}":                       `weight of "a"`,
		"- a":                             "want an object",
		"a: [":                            "s3://b/k",
		"a: 99999999999999999999":         `weight of "a"`,
		strings.Repeat(" ", maxToggle+1):  "over the limit",
		"<html>no such bucket</html>":     "want an object",
		"a: 1\n<<: *nothing":              "s3://b/k",
		"a: &x 1\nb: *x":                  "a 1, b 1",
		"primary: 1\nprimary: 5\nzed: 00": "primary 5, zed 0",
	} {
		all, _, err := readWeights("s3://b/k", []byte(text))
		var got []string
		for _, w := range all {
			got = append(got, fmt.Sprintf("%s %d", w.name, w.lot))
		}
		say := strings.Join(got, ", ")
		if err != nil {
			say = err.Error()
		}
		if (err == nil && say != want) || !strings.Contains(say, want) {
			t.Errorf("%.40q: %s, want %q", text, say, want)
		}
	}
}

func TestPickFollowsTheWeights(t *testing.T) {
	all := weights{{"a", 2}, {"never", 0}, {"b", 1}}
	got := map[string]int{}
	for i := range int64(3) {
		got[all.pick(func(n int64) int64 {
			if n != 3 {
				t.Errorf("drawn from %d lots", n)
			}
			return i
		})]++
	}
	if d := cmp.Diff(map[string]int{"a": 2, "b": 1}, got); d != "" {
		t.Error(d)
	}
}

func FuzzWeights(f *testing.F) {
	for _, s := range []string{"a: 1", `{"a":1,"b":2}`, "a: -1", "a: &x 3\nb: *x", "- 1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		all, _, err := readWeights("s3://b/k", data)
		if err != nil {
			return
		}
		var sum int64
		for _, w := range all {
			sum += w.lot
		}
		if sum <= 0 {
			t.Fatalf("lots add up to %d", sum)
		}
		for _, at := range []int64{0, sum / 2, sum - 1} {
			name := all.pick(func(int64) int64 { return at })
			if !strings.Contains(fmt.Sprint(all), "{"+name+" ") {
				t.Errorf("picked %q", name)
			}
		}
	})
}

func TestToggleIsReadOnceForAllAndDrawsOnlyForNewContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int64
		var file atomic.Pointer[string] // nil = away
		file.Store(new("a: 1"))
		toggles := NewToggles(quiet(), nil)
		toggles.open = func() readObject {
			return func(context.Context, string, string) ([]byte, error) {
				reads.Add(1)
				if content := file.Load(); content != nil {
					return []byte(*content), nil
				}
				return nil, errors.New("gone")
			}
		}
		o := object{bucket: "b", key: "k", interval: 10 * time.Second}
		one, two := mailbox.New[string](mailbox.NewWake()), mailbox.New[string](mailbox.NewWake())
		releaseOne, releaseTwo := toggles.follow(o, one), toggles.follow(o, two)
		synctest.Wait()
		want := func(name string, wantReads int64) {
			t.Helper()
			for _, slot := range []*pickSlot{one, two} {
				if got, ok := slot.Take(); got != name || ok != (name != "") {
					t.Errorf("picked %q, want %q", got, name)
				}
			}
			if reads.Load() != wantReads {
				t.Errorf("%d reads, want %d", reads.Load(), wantReads)
			}
		}
		pass := func() { <-time.After(o.interval); synctest.Wait() }
		want("a", 1)
		pass()
		want("", 2) // nothing new
		file.Store(new("b: 1\na: 0"))
		pass()
		want("b", 3)
		for i, bad := range []string{"", "a: 0", "a: x", "[]"} {
			file.Store(&bad)
			pass()
			want("", 4+int64(i))
		}
		file.Store(nil)
		pass()
		want("", 8)
		releaseOne()
		pass()
		if reads.Load() != 9 {
			t.Error("the first to leave took the file away")
		}
		releaseTwo()
		pass()
		if reads.Load() != 9 {
			t.Error("read for nobody")
		}
		late := toggles.follow(o, one) // a new configuration, and S3 is away
		synctest.Wait()
		if got, _ := one.Take(); got != "b" {
			t.Errorf("the pick of before is forgotten: %q", got)
		}
		late()
	})
}

// s3Stand is a stand-in for S3.
type s3Stand struct {
	content atomic.Pointer[string]
	region  atomic.Pointer[string] // where the bucket is
	last    atomic.Pointer[http.Request]
}

func (s *s3Stand) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.last.Store(r)
	auth := r.Header.Get("Authorization")
	region := *s.region.Load()
	switch {
	case !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 Credential=id/") || r.Header.Get("X-Amz-Date") == "":
		http.Error(w, "<Error><Code>AccessDenied</Code><Message>not signed</Message></Error>", http.StatusForbidden)
	case !strings.Contains(auth, "/"+region+"/s3/aws4_request"):
		w.Header().Set("X-Amz-Bucket-Region", region)
		http.Error(w, "<Error><Code>AuthorizationHeaderMalformed</Code></Error>", http.StatusBadRequest)
	case r.Method != http.MethodGet || r.URL.EscapedPath() != "/bucket/some%20dir/weights%2Bx.yaml":
		http.Error(w, "<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code><Message>no "+r.URL.Path+"</Message></Error>", http.StatusNotFound)
	default:
		fmt.Fprint(w, *s.content.Load())
	}
}

// startS3 starts a stand-in, and lets the AWS library find it and nothing
// else.
func startS3(t *testing.T) *s3Stand {
	t.Helper()
	s := &s3Stand{}
	s.content.Store(new("primary: 1"))
	s.region.Store(new("us-east-1"))
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	none := filepath.Join(t.TempDir(), "none")
	for key, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret",
		"AWS_SESSION_TOKEN": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none,
	} {
		t.Setenv(key, value)
	}
	return s
}

func TestS3Reader(t *testing.T) {
	s := startS3(t)
	read := s3Reader()
	check := func(key, want string) {
		t.Helper()
		data, err := read(t.Context(), "bucket", key)
		got := string(data)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	check("some dir/weights+x.yaml", "primary: 1")
	check("other", "404 Not Found: NoSuchKey no /bucket/other")
	s.region.Store(new("eu-west-1"))
	check("some dir/weights+x.yaml", "primary: 1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := read(ctx, "bucket", "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
	s.content.Store(new(strings.Repeat("x", 2*maxToggle)))
	if data, err := read(t.Context(), "bucket", "some dir/weights+x.yaml"); err != nil || len(data) != maxToggle+1 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

func TestS3URL(t *testing.T) {
	for _, c := range []struct{ endpoint, region, bucket, key, want string }{
		{"", "us-east-1", "b", "k", "https://b.s3.us-east-1.amazonaws.com/k"},
		{"", "eu-west-1", "b.c", "d/k", "https://s3.eu-west-1.amazonaws.com/b.c/d/k"},
		{"", "cn-north-1", "b", "k", "https://b.s3.cn-north-1.amazonaws.com.cn/k"},
		{"http://localhost:4566", "us-east-1", "b", "k", "http://localhost:4566/b/k"},
		{"http://localhost:4566/s3/", "us-east-1", "b", "a b~+ü", "http://localhost:4566/s3/b/a%20b~%2B%C3%BC"},
	} {
		if got, err := s3URL(c.endpoint, c.region, c.bucket, c.key); err != nil || got != c.want {
			t.Errorf("%+v: %s %v", c, got, err)
		}
	}
	if _, err := s3URL("localhost", "r", "b", "k"); err == nil {
		t.Error("an endpoint without a host was taken")
	}
}

// A toggle in S3 moves a service from one source to the other.
func TestToggleEndToEnd(t *testing.T) {
	s := startS3(t)
	dir := t.TempDir()
	list := func(name, host string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(`[{"host": "`+host+`", "port": 80}]`), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	r := &config.Report{Strict: true}
	w := New(parse(t, `{"method": "multi", "watchers": {
		"primary": {"method": "file", "path": "`+list("one.json", "10.0.0.1")+`"},
		"other": {"method": "file", "path": "`+list("two.json", "10.0.0.2")+`"}},
		"resolver": {"method": "s3_toggle", "s3_url": "s3://bucket/some dir/weights+x.yaml", "s3_polling_interval_seconds": 1}}`), testDeps(), r)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var last atomic.Pointer[service.Update]
	done := make(chan error)
	go func() { done <- w.Run(ctx, func(u service.Update) { last.Store(&u) }) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	want := func(host string) {
		t.Helper()
		servers.Eventually(t, func() error {
			if u := last.Load(); u != nil {
				for b := range u.Backends.All() {
					if b.Host == host {
						return nil
					}
				}
			}
			return errors.New("not yet " + host)
		})
	}
	want("10.0.0.1")
	s.content.Store(new("other: 7"))
	want("10.0.0.2")
}
