package ec2poll

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/google/go-cmp/cmp"

	"smartstack/test/ec2fake"
)

func fleet(n int) []ec2fake.Instance {
	var all []ec2fake.Instance
	for i := range n {
		ip := fmt.Sprintf("10.0.%d.%d", i/250, i%250)
		all = append(all, ec2fake.Instance{
			ID: fmt.Sprintf("i-%017x", i), PrivateIP: ip, PublicIP: fmt.Sprintf("54.0.%d.%d", i/250, i%250),
			PrivateDNS: "ip-" + strings.ReplaceAll(ip, ".", "-") + ".ec2.internal",
			Tags:       map[string]string{"role": fmt.Sprintf("service%d", i%100), "Name": fmt.Sprintf("server %d", i), "env": "prod"},
		})
	}
	return all
}

// canned answers every request with the same body.
type canned []byte

func (c canned) Do(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(c))}, nil
}

// theirs is what the AWS client's own decoder makes of body.
func theirs(t testing.TB, body []byte) []Instance {
	c := ec2.New(ec2.Options{Region: "eu-west-1", HTTPClient: canned(body), Credentials: credentials.NewStaticCredentialsProvider("id", "secret", "")})
	out, err := c.DescribeInstances(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []Instance
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			one := Instance{
				ID: aws.ToString(i.InstanceId), PrivateIP: aws.ToString(i.PrivateIpAddress), PublicIP: aws.ToString(i.PublicIpAddress),
				PrivateDNS: aws.ToString(i.PrivateDnsName), IPv6: aws.ToString(i.Ipv6Address),
			}
			for _, n := range i.NetworkInterfaces {
				for _, a := range n.Ipv6Addresses {
					if one.IPv6 == "" {
						one.IPv6 = aws.ToString(a.Ipv6Address)
					}
				}
			}
			for _, tag := range i.Tags {
				one.Tags = append(one.Tags, Tag{Key: aws.ToString(tag.Key), Value: aws.ToString(tag.Value)})
			}
			if i.State.Name == "running" {
				all = append(all, one)
			}
		}
	}
	return all
}

// TestDecodeAsTheAWSClient holds our decoder against the client's own, on an
// answer as AWS documents it and on what the fake writes.
func TestDecodeAsTheAWSClient(t *testing.T) {
	recorded, err := os.ReadFile("testdata/describe-instances.xml")
	if err != nil {
		t.Fatal(err)
	}
	odd := append(fleet(3),
		ec2fake.Instance{ID: "i-odd", PrivateIP: "10.1.1.1", IPv6: "2001:db8::1", Tags: map[string]string{"a<&>\"'\n": "ü&amp;", "empty": ""}},
		ec2fake.Instance{ID: "i-gone", State: "stopped", Tags: map[string]string{"role": "web"}},
		ec2fake.Instance{ID: "i-bare"})
	for name, body := range map[string][]byte{"recorded": recorded, "fake": ec2fake.Page(odd, "next"), "empty": ec2fake.Page(nil, "")} {
		got, err := newDecoder().page(body)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(theirs(t, body), got.instances); d != "" {
			t.Errorf("%s (-theirs +ours):\n%s", name, d)
		}
	}
}

// TestDecodeRefuses: whatever is not a whole answer must not pass for the news
// that instances are gone.
func TestDecodeRefuses(t *testing.T) {
	whole := string(ec2fake.Page(fleet(2), ""))
	in := func(s string) string { return "<DescribeInstancesResponse>" + s + "</DescribeInstancesResponse>" }
	cases := []struct{ name, body, reason string }{
		{"nothing", "", "of 0 bytes ends in the middle"},
		{"text", "OK", "ends in the middle"},
		{"a web page", "<!DOCTYPE html><html><body>Sign in</body></html>", "document type"},
		{"a bare web page", "<html><body>Sign in</body></html>", "starts with <html>"},
		{"another answer", `<DescribeTagsResponse><tagSet/></DescribeTagsResponse>`, "starts with <DescribeTagsResponse>"},
		{"an error with status 200", `<Response><Errors/></Response>`, "starts with <Response>"},
		{"no list", in("<requestId>1</requestId>"), "no list of reservations"},
		{"an end only", "</DescribeInstancesResponse>", "starts with"},
		{"two answers", whole + whole, "goes on after its end"},
		{"wrong end", in("<reservationSet></reservation>"), "ends <reservationSet> with </reservation>"},
		{"no id", in("<reservationSet><item><instancesSet><item><instanceState><name>running</name></instanceState></item></instancesSet></item></reservationSet>"), "without an id"},
		{"no state", in("<reservationSet><item><instancesSet><item><instanceId>i-1</instanceId></item></instancesSet></item></reservationSet>"), "or a state"},
		{"tag in text", in("<reservationSet><item><instancesSet><item><instanceId><b/></instanceId>"), "<b> in the text of <instanceId>"},
		{"entity", in("<reservationSet/><nextToken>&bomb;</nextToken>"), "unknown entity &bomb;"},
		{"deep", in(strings.Repeat("<a>", 100)), "deep"},
		{"raw text", in("<reservationSet><![CDATA[x]]></reservationSet>"), "raw text"},
		{"comment without end", in("<!-- "), "ends in the middle"},
	}
	for _, c := range cases {
		if got, err := newDecoder().page([]byte(c.body)); err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %+v, %v, want an error with %q", c.name, got, err, c.reason)
		}
	}
	for n := range whole[:len(whole)-1] {
		if p, err := newDecoder().page([]byte(whole[:n])); err == nil {
			t.Fatalf("cut after %d of %d bytes: %d instances, no error", n, len(whole), len(p.instances))
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(ec2fake.Page(fleet(2), "next"))
	f.Add([]byte(`<DescribeInstancesResponse><reservationSet/><nextToken>&#x41;&#65;&lt;</nextToken><!-- c --></DescribeInstancesResponse> <!-- d -->`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := newDecoder().page(body)
		if err != nil && (len(err.Error()) > 1000 || p.instances != nil) {
			t.Errorf("error of %d bytes, %d instances", len(err.Error()), len(p.instances))
		}
		for _, i := range p.instances {
			if i.ID == "" {
				t.Error("an instance without an id")
			}
		}
	})
}

func BenchmarkDecode5000(b *testing.B) {
	var pages [][]byte
	all := fleet(5000)
	for n := 0; n < len(all); n += pageSize {
		pages = append(pages, ec2fake.Page(all[n:n+pageSize], "next"))
	}
	b.SetBytes(int64(5 * len(pages[0])))
	b.ReportAllocs()
	for b.Loop() {
		d := newDecoder()
		var got []Instance
		for _, body := range pages {
			p, err := d.page(body)
			if err != nil {
				b.Fatal(err)
			}
			got = append(got, p.instances...)
		}
		if a := newAnswer("role", got); len(a.All()) != 5000 {
			b.Fatal(len(a.All()))
		}
	}
}
