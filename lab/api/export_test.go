package api

// Waiting is how many connections there are.
func (s *Server) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}
