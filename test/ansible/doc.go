// Package ansible holds the test of the role in deploy/ansible: the real
// ansible runs it against containers that act as hosts.
//
//	make test-ansible
package ansible
