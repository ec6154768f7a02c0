//go:build !linux

package sqlite

// holders says how to find who has locks on the files of the ledger.
func (s *Store) holders() string {
	return "another process writes into it (find it with: lsof " + s.path + ")"
}
