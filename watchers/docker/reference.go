package docker

import (
	"fmt"
	"strings"
)

// reference is an image as people write it: repository[:tag][@digest]. An
// image's bare id is a digest without a repository.
type reference struct {
	repository, tag, digest string
}

// parseReference takes text apart, with what Docker leaves out of names on its
// own hub left out too, so that docker.io/library/nginx and nginx are equal.
func parseReference(text string) (r reference, err error) {
	if imageID(text) {
		return reference{digest: text}, nil
	}
	rest, digest, found := strings.Cut(text, "@")
	if found && digest == "" {
		return r, fmt.Errorf("the digest of %q is empty", text)
	}
	r.digest = digest
	r.repository = rest
	if colon := strings.LastIndexByte(rest, ':'); colon > strings.LastIndexByte(rest, '/') {
		r.repository, r.tag = rest[:colon], rest[colon+1:]
		if r.tag == "" {
			return r, fmt.Errorf("the tag of %q is empty", text)
		}
	}
	for _, hub := range []string{"index.docker.io/", "docker.io/"} {
		r.repository = strings.TrimPrefix(r.repository, hub)
	}
	r.repository = strings.TrimPrefix(r.repository, "library/")
	if r.repository == "" || strings.ContainsAny(text, " \t\r\n") {
		return r, fmt.Errorf("want an image such as nginx, or registry.example.com:5000/team/web, got %q", text)
	}
	return r, nil
}

// imageID tells whether text is the id of an image, which the engine gives
// where an image has lost its name.
func imageID(text string) bool { return strings.HasPrefix(text, "sha256:") }

// matches reports whether a container of the image named in text, whose id is
// id, runs the wanted image. Without a tag and a digest any will do.
func (r reference) matches(text, id string) bool {
	if r.repository == "" {
		return r.digest == id
	}
	have, err := parseReference(text)
	if err != nil || have.repository != r.repository {
		return false
	}
	if r.digest != "" && r.digest != have.digest {
		return false
	}
	if have.tag == "" && have.digest == "" {
		have.tag = "latest"
	}
	return r.tag == "" || r.tag == have.tag
}
