package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Status is a lab as its control socket tells it.
type Status struct {
	Endpoints Endpoints       `json:"endpoints"`
	Broken    []Fault         `json:"broken"`    // oldest first
	LastWrite map[Store]Write `json:"lastWrite"` // the newest acknowledged write to each store
}

// Status tells how the lab is.
func (l *Lab) Status() Status {
	return Status{
		Endpoints: l.Endpoints(),
		Broken:    l.Broken(),
		LastWrite: map[Store]Write{Postgres: l.LastWrite(Postgres), Redis: l.LastWrite(Redis)},
	}
}

// listenControl opens the socket to the user of the lab alone.
func listenControl(ctx context.Context, path string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("open the control socket: %w", err), listener.Close())
	}
	return listener, nil
}

// controlHandler serves the lab to a program in another process:
//
//	GET  /status        a Status
//	POST /break/{fault} nothing, once the fault is in effect
//	POST /heal/{fault}  nothing, once what it had stopped is back
//
// An error is an object with the field error. A client that goes away ends what it asked for.
func controlHandler(l *Lab) http.Handler {
	act := func(do func(context.Context, Fault) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if err := do(r.Context(), Fault(r.PathValue("fault"))); err != nil {
				answer(w, statusCode(err), controlError{Error: err.Error()})
				return
			}
			answer(w, http.StatusOK, struct{}{})
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, l.Status()) })
	mux.HandleFunc("POST /break/{fault}", act(l.Break))
	mux.HandleFunc("POST /heal/{fault}", act(l.Heal))
	return mux
}

type controlError struct {
	Error string `json:"error"`
}

func statusCode(err error) int {
	switch {
	case errors.Is(err, ErrUnknownFault):
		return http.StatusNotFound
	case errors.Is(err, ErrAlreadyBroken), errors.Is(err, ErrNotBroken):
		return http.StatusConflict
	case errors.Is(err, ErrClosed):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // a client that has gone cannot be told
}

// A Client reaches a lab that runs in another process.
type Client struct {
	dir  string
	http *http.Client
}

// Dial finds the lab that runs in the folder. The client holds nothing open and needs no closing.
func Dial(ctx context.Context, dir string) (*Client, error) {
	socket := filepath.Join(dir, controlSocket)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	c := &Client{dir: dir, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
	conn, err := dial(ctx, "", "")
	if err != nil {
		return nil, c.explain(err)
	}
	return c, conn.Close()
}

// explain turns "nothing listens there" into what to do about it.
func (c *Client) explain(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("reach the lab in %s: none runs there; start one with `drwatch lab up`: %w", c.dir, err)
	}
	return fmt.Errorf("reach the lab in %s: %w", c.dir, err)
}

// Status asks the lab how it is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.call(ctx, http.MethodGet, "/status", &s)
	return s, err
}

// Break is Lab.Break in the other process.
func (c *Client) Break(ctx context.Context, name Fault) error {
	return c.call(ctx, http.MethodPost, "/break/"+string(name), nil)
}

// Heal is Lab.Heal in the other process.
func (c *Client) Heal(ctx context.Context, name Fault) error {
	return c.call(ctx, http.MethodPost, "/heal/"+string(name), nil)
}

func (c *Client) call(ctx context.Context, method, path string, result any) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://lab"+path, nil)
	if err != nil {
		return fmt.Errorf("ask the lab: %w", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return c.explain(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read the lab's answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return refusal(response.Status, body)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(body, result); err != nil {
		return fmt.Errorf("read the lab's answer: %w", err)
	}
	return nil
}

// refusal is the lab's own error where it gave one.
func refusal(status string, body []byte) error {
	var e controlError
	if json.Unmarshal(body, &e) == nil && e.Error != "" {
		return errors.New(e.Error)
	}
	return fmt.Errorf("the lab answered %s: %s", status, strings.TrimSpace(string(body)))
}
