// Package registration reads the forms in which servers are registered under
// a key: by our nerve and Airbnb's, by blablacar's, by Finagle and Aurora
// (serverset), by Registrator, and by those who feed nginx-upsync.
//
//	decode, err := registration.Options{Method: "auto"}.Decoder()
//	backend, err := decode("10.0.0.1:80", []byte(`{"weight": 2}`))
//
// A decoder gets the last element of the key, because some forms say there
// where the server is. Its backend is not validated.
package registration
