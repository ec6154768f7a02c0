package config

import (
	"github.com/drwatch/drwatch/audit"
)

// validateAudit checks what the file says of the checklists, and that what they rest
// on is in the file.
func (v *validator) validateAudit() {
	exists := audit.Exists{Of: []string{}}
	for _, d := range v.config.Datastores {
		exists.Of = append(exists.Of, d.Name)
	}
	for _, s := range v.config.Services {
		exists.Of = append(exists.Of, s.Name)
	}
	for _, p := range v.config.Audit.Validate(exists) {
		v.errorAt(path("audit", steps(p.Path)), p.Message)
	}
}
