// Package packages holds the tests of the Debian packages and the systemd
// units: they are installed in fresh Debian hosts, run there, and removed.
//
//	make test-packages
package packages
