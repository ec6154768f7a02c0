package postgres

import (
	"cmp"
	_ "embed"
	"strings"
)

//go:embed setup.sql
var setupSQL string

//go:embed setup_heartbeat.sql
var setupHeartbeatSQL string

// SetupOptions say what the setup script makes.
type SetupOptions struct {
	// User is the role that looks. Empty means drwatch.
	User string
	// HeartbeatUser is the role that writes the heartbeat. Empty means that there
	// is no heartbeat, and no table for it.
	HeartbeatUser string
	// HeartbeatTable is schema.table. Empty means drwatch.heartbeat.
	HeartbeatTable string
}

// SetupSQL is the script that an administrator runs once on the primary, in the
// database that the DSN names. It makes the roles, without passwords, and gives
// them no more rights than they need.
func SetupSQL(o SetupOptions) string {
	o.User = cmp.Or(o.User, "drwatch")
	script := setupSQL
	if o.HeartbeatUser != "" {
		script += setupHeartbeatSQL
	}
	schema, name := table(cmp.Or(o.HeartbeatTable, defaultTable)).parts()
	return strings.NewReplacer(
		"{user}", identifier(o.User), "{'user'}", literal(o.User),
		"{writer}", identifier(o.HeartbeatUser), "{'writer'}", literal(o.HeartbeatUser),
		"{schema}", identifier(schema), "{table}", identifier(name),
	).Replace(script)
}

// identifier quotes a name for SQL.
func identifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal quotes a text for SQL.
func literal(text string) string { return `'` + strings.ReplaceAll(text, `'`, `''`) + `'` }
