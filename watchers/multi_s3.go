package watchers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"smartstack/internal/awsconn"
)

// s3Region is where a bucket is looked for first when neither the environment
// nor the profile names a region. S3 then says where it really is.
const s3Region = "us-east-1"

// s3Client reads objects. The AWS library finds credentials, region and
// endpoint (AWS_ENDPOINT_URL) and signs; the request itself is a plain GET,
// because the library's S3 client would add 5 MB to the program for it. It
// serves one goroutine.
type s3Client struct {
	config *aws.Config // nil = not looked for yet
	region string
	http   *http.Client
}

// s3Reader returns a reader that does nothing before its first read.
func s3Reader() readObject { return new(s3Client).read }

func (c *s3Client) read(ctx context.Context, bucket, key string) ([]byte, error) {
	if c.config == nil {
		found, err := awsconn.Find(ctx, awsconn.Options{Service: "S3", FallbackRegion: s3Region})
		if err != nil {
			return nil, fmt.Errorf("aws: %w", err)
		}
		c.config, c.region = &found, found.Region
		c.http = &http.Client{
			Transport:     awsconn.Transport(found), // one small read now and then: keeps no connection
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	data, region, err := c.get(ctx, bucket, key)
	if err != nil && region != "" && region != c.region {
		c.region = region
		data, _, err = c.get(ctx, bucket, key)
	}
	return data, err
}

// get reads the object once. region is where S3 says that the bucket is.
func (c *s3Client) get(ctx context.Context, bucket, key string) (data []byte, region string, err error) {
	place, err := s3URL(aws.ToString(c.config.BaseEndpoint), c.region, bucket, key)
	if err != nil {
		return nil, "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, place, http.NoBody)
	if err != nil {
		return nil, "", err
	}
	if err := c.sign(req); err != nil {
		return nil, "", err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	data, err = io.ReadAll(io.LimitReader(resp.Body, maxToggle+1))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("s3 answers %s: %s", resp.Status, s3Error(data))
	}
	return data, resp.Header.Get("X-Amz-Bucket-Region"), err
}

// sign signs an S3 request without a body.
func (c *s3Client) sign(req *http.Request) error {
	if c.config.Credentials == nil {
		return errors.New("aws: no credentials")
	}
	credentials, err := c.config.Credentials.Retrieve(req.Context())
	if err != nil {
		return fmt.Errorf("aws credentials: %w", err)
	}
	body := sha256.Sum256(nil)
	hash := hex.EncodeToString(body[:])
	req.Header.Set("X-Amz-Content-Sha256", hash)
	return v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).
		SignHTTP(req.Context(), credentials, req, hash, "s3", c.region, time.Now())
}

// s3URL returns where an object is. An endpoint of the user's own knows no
// bucket's host name, and a certificate covers none with a dot in it: then the
// bucket stands in the path.
func s3URL(endpoint, region, bucket, key string) (string, error) {
	own := endpoint != ""
	if !own {
		domain := "amazonaws.com"
		if strings.HasPrefix(region, "cn-") {
			domain = "amazonaws.com.cn"
		}
		endpoint = "https://s3." + region + "." + domain
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("AWS_ENDPOINT_URL: want a URL, got %q", endpoint)
	}
	path := "/" + key
	if !own && !strings.Contains(bucket, ".") {
		u.Host = bucket + "." + u.Host
	} else {
		path = "/" + bucket + path
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + path
	u.RawPath = s3Escape(u.Path)
	return u.String(), nil
}

// s3Escape writes a path as S3 signs it: everything escaped but letters,
// digits and -._~/
func s3Escape(path string) string {
	return strings.NewReplacer("+", "%20", "%2F", "/", "%7E", "~").Replace(url.QueryEscape(path))
}

// s3Error shortens the XML of a refusal to its code and message.
func s3Error(data []byte) string {
	between := func(tag string) string {
		_, rest, _ := strings.Cut(string(data), "<"+tag+">")
		text, _, _ := strings.Cut(rest, "</"+tag+">")
		const limit = 200
		return strings.ToValidUTF8(text[:min(len(text), limit)], "")
	}
	return between("Code") + " " + between("Message")
}
