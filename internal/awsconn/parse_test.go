package awsconn

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	got := parse("lost = 1\n" +
		"# [no]\n\n" +
		"[ profile   a ] ; comment\r\n" +
		"Region = eu-west-1 # here\r\n" +
		"role_arn: arn:aws:iam::1:role/x\n" +
		"quoted = \"a # b\"\n" +
		"s3 =\n  max = 1\n\tendpoint_url = http://x:1/\n" +
		"no property\n= no key\n[open\n" +
		"[profile a]\nregion = later\n" +
		"[empty]\n")
	want := map[string]section{
		"profile a": {
			"region": "later", "role_arn": "arn:aws:iam::1:role/x", "quoted": `"a`,
			"s3": "", "s3.max": "1", "s3.endpoint_url": "http://x:1/",
		},
		"empty": {},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("[default]\na = b\n c = d\n")
	f.Add("[a]\n=\n[")
	f.Fuzz(func(t *testing.T, text string) {
		for name, s := range parse(text) {
			for key, value := range s {
				if key == "" || strings.ContainsAny(name+key+value, "\n") {
					t.Errorf("%q: %q = %q", name, key, value)
				}
			}
		}
	})
}

func TestReadRole(t *testing.T) {
	for _, c := range []struct {
		status     int
		body, want string
	}{
		{http.StatusForbidden, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>`, "AccessDenied: not you"},
		{http.StatusBadGateway, `<html>`, "HTTP status 502"},
		{http.StatusOK, ``, "not an answer of STS"},
		{http.StatusOK, `<html><body>Sign in</body></html>`, "without credentials"},
		{http.StatusOK, `<A><AssumeRoleResult><Credentials><AccessKeyId>a</AccessKeyId></Credentials></AssumeRoleResult></A>`, "without credentials"},
		{http.StatusOK, `<A><AssumeRoleResult><Credentials><Expiration>soon</Expiration></Credentials></AssumeRoleResult></A>`, "not an answer of STS"},
	} {
		if _, err := readRole(c.status, []byte(c.body)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.body, err, c.want)
		}
	}
}

func FuzzReadRole(f *testing.F) {
	f.Add(200, []byte(stsAnswer))
	f.Add(403, []byte("<ErrorResponse><Error><Code>x</Code></Error></ErrorResponse>"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if keys, err := readRole(status, body); err == nil && (keys.AccessKeyID == "" || !keys.CanExpire) {
			t.Errorf("%+v", keys)
		}
	})
}
