// Package service holds the words that nerve and synapse share: what a backend
// is, what a watcher says, what a reporter makes true, and the four interfaces
// through which plugins meet the two run loops. It imports the standard
// library only, and every other package may import it.
//
// A watcher turns what its registry holds into an Update with a Builder, which
// drops what could harm its readers and remembers why:
//
//	var b service.Builder
//	b.AddPayload("web_0000000001", []byte(`{"host":"10.0.0.1","port":80,"name":"web"}`))
//	b.AddPayload("web_0000000002", []byte(`half writ`))
//	publish(b.Update())
package service
