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

//go:embed setup_table.sql
var setupTableSQL string

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
	script := setupSQL
	if o.HeartbeatUser != "" {
		script += setupHeartbeatSQL + setupTableSQL
	}
	return o.fill(script)
}

// tableSQL is the part of the script that makes the heartbeat table. The writer
// itself can run it, where it may create in the database.
func (o SetupOptions) tableSQL() string { return o.fill(setupTableSQL) }

// fill puts the names into a script.
func (o SetupOptions) fill(script string) string {
	o.User = cmp.Or(o.User, "drwatch")
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
