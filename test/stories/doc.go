// Package stories prepares ten faults, each of which keeps a backend out of
// HAProxy, on a real synapse with a real HAProxy, and has each of them found
// out: once from the commands alone and, with the build tag page, once from the
// page alone, in a real browser (make test-page).
package stories
