package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// A secret that prints is in a log that is kept for years.
func TestString_IsNeverShown(t *testing.T) {
	s := New("hunter2")
	holder := struct{ Password String }{s}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "password", s, "holder", holder)
	asJSON, err := json.Marshal(holder)
	require.NoError(t, err)
	asYAML, err := yaml.Marshal(holder)
	require.NoError(t, err)
	for _, shown := range []string{
		fmt.Sprint(s), fmt.Sprintf("%s %v %+v %#v %q %x %d", s, s, s, s, s, s, s), fmt.Sprintf("%v %+v %#v", holder, holder, holder),
		fmt.Sprint(&s), log.String(), string(asJSON), string(asYAML), fmt.Errorf("x: %v", s).Error(),
	} {
		require.NotContains(t, shown, "hunter2")
		require.NotContains(t, shown, "68756e74657232") // in hexadecimal
	}
	require.Equal(t, "hunter2", s.Reveal())
}

func TestSource_Read(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte(" hunter2 \r\n"), 0o600))
	t.Setenv("SECRET", "from the environment")
	for name, row := range map[string]struct {
		source Source
		want   string
		err    string
	}{
		"none":              {Source{}, "", ""},
		"file":              {Source{File: file}, " hunter2 ", ""},
		"environment":       {Source{Env: "SECRET"}, "from the environment", ""},
		"file missing":      {Source{File: file + "x"}, "", "no such file"},
		"variable missing":  {Source{Env: "NO_SUCH_SECRET"}, "", "NO_SUCH_SECRET is not set"},
		"both is a mistake": {Source{File: file, Env: "SECRET"}, "", "not both"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := row.source.Read(t.Context())
			if row.err != "" {
				require.ErrorContains(t, err, row.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.want, got.Reveal())
		})
	}
}

func TestString_Redact(t *testing.T) {
	require.Equal(t, "password <redacted> is wrong", New("hunter2").Redact("password hunter2 is wrong"))
	require.Equal(t, "nothing to hide", String{}.Redact("nothing to hide"))
}
