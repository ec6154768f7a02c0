package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// view is what one Sentinel says about the primary.
type view struct {
	sentinel string // its own address
	primary  string // host:port
	epoch    int64  // of the last failover that it knows of
	flags    string // master, s_down, o_down, ...
	known    int64  // Sentinels that watch this primary, itself included
	quorum   int64  // Sentinels that must call it down
}

// lookBehindSentinel asks all Sentinels who the primary is, and looks at that
// one. A server that was the primary until it was cut off goes on saying so,
// and so does a Sentinel beside it: the newest failover counts.
func (p *Probe) lookBehindSentinel(ctx context.Context) (readiness.Reading, error) {
	data, err := p.credentials().read(ctx)
	if err != nil {
		return readiness.Reading{}, fmt.Errorf("ask Redis behind Sentinel at %s: %w", strings.Join(p.config.Sentinel.Addresses, ","), err)
	}
	views, err := p.askSentinels(ctx)
	if err != nil {
		return readiness.Reading{}, err
	}
	newest := newestOf(views)
	r, err := p.lookAt(ctx, server{login: data, addr: newest.primary, what: "Redis, the primary by Sentinel,"})
	if err != nil {
		return readiness.Reading{}, err
	}
	r.Checks = append(r.Checks, checkSentinels(views, len(p.config.Sentinel.Addresses)))
	return r, nil
}

// askSentinels gives what those that answer say; without any answer, why.
func (p *Probe) askSentinels(ctx context.Context) ([]view, error) {
	s := p.config.Sentinel
	login, err := credentials{user: s.User, password: s.password(), tls: p.config.TLS}.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask Sentinel: %w", err)
	}
	return askAll(ctx, s.Addresses, func(ctx context.Context, addr string) (view, error) {
		return server{login: login, addr: addr, what: "Sentinel"}.master(ctx, s.Master)
	})
}

// askAll asks all addresses at once, for no longer than half of the time that is
// left. When none answers, one failure stands for all: that of a server which
// refused to answer, before that of one which could not.
func askAll[T any](ctx context.Context, addresses []string, ask func(context.Context, string) (T, error)) ([]T, error) {
	part, cancel := context.WithTimeout(ctx, half(ctx))
	defer cancel()
	answers, failures := make([]T, len(addresses)), make([]error, len(addresses))
	var all sync.WaitGroup
	for i, addr := range addresses {
		all.Go(func() { answers[i], failures[i] = ask(part, addr) })
	}
	all.Wait()
	var answered []T
	var worst *readiness.Failure
	for i, err := range failures {
		switch failure := probes.AsFailure(err); {
		case failure == nil:
			answered = append(answered, answers[i])
		case worst == nil || silent(worst.Class) && !silent(failure.Class):
			worst = failure
		}
	}
	if len(answered) > 0 {
		return answered, nil
	}
	if len(addresses) > 1 {
		return nil, probes.Fail(worst.Class, "none of %d answers as it should: %w", len(addresses), worst)
	}
	return nil, worst
}

func silent(c readiness.Class) bool {
	return c == readiness.Refused || c == readiness.Unreachable || c == readiness.Timeout
}

// master asks a Sentinel about a primary that it watches.
func (s server) master(ctx context.Context, name string) (view, error) {
	session, err := s.open(ctx)
	if err != nil {
		return view{}, err
	}
	defer session.close()
	answers, _, err := session.ask(ctx, command{"SENTINEL", "MASTER", name})
	if err != nil {
		return view{}, err
	}
	v, err := parseMaster(answers[0])
	if err != nil {
		return view{}, s.failure(ctx, err)
	}
	v.sentinel = s.addr
	return v, nil
}

// parseMaster reads the answer to SENTINEL MASTER: keys and values in turn.
func parseMaster(answer any) (view, error) {
	items, _ := answer.([]any)
	fields := make(map[string]string, len(items)/2)
	for i := 0; i+1 < len(items); i += 2 {
		fields[fmt.Sprint(items[i])] = fmt.Sprint(items[i+1])
	}
	v := view{flags: fields["flags"]}
	var others int64
	var wrong error
	for key, into := range map[string]*int64{"config-epoch": &v.epoch, "num-other-sentinels": &others, "quorum": &v.quorum} {
		n, err := strconv.ParseInt(fields[key], 10, 64)
		*into, wrong = n, errors.Join(wrong, err)
	}
	v.known = others + 1
	port, err := strconv.ParseUint(fields["port"], 10, 16)
	if host := fields["ip"]; wrong != nil || err != nil || port == 0 || host == "" || presentable(host) != host {
		return view{}, notRedis("its answer names no primary")
	}
	v.primary = net.JoinHostPort(fields["ip"], fields["port"])
	return v, nil
}

// newestOf gives the view after the newest failover.
func newestOf(views []view) view {
	newest := views[0]
	for _, v := range views[1:] {
		if v.epoch > newest.epoch {
			newest = v
		}
	}
	return newest
}

// checkSentinels tells whether the Sentinels could vote a failover now, as far
// as they can be seen from here.
func checkSentinels(views []view, asked int) readiness.Check {
	newest := newestOf(views)
	voters := max(int64(asked), newest.known)
	answered := fmt.Sprintf("%d of %d Sentinels answer", len(views), asked)
	for _, v := range views {
		if v.primary != newest.primary {
			return probes.Failing(CheckSentinels, fmt.Sprintf("Sentinel %s takes %s for the primary, %s takes %s", newest.sentinel, newest.primary, v.sentinel, v.primary),
				"see whether a failover is under way; if this stays, the network between the Sentinels is cut")
		}
	}
	switch {
	case strings.Contains(newest.flags, "down"):
		return probes.Failing(CheckSentinels, fmt.Sprintf("they hold %s to be down (%s)", newest.primary, presentable(newest.flags)),
			"see whether a failover is under way, and the logs of the Sentinels if it does not come")
	case int64(len(views)) <= voters/2 || int64(len(views)) < newest.quorum:
		return probes.Failing(CheckSentinels, fmt.Sprintf("%s, of %d that watch: too few to vote a failover (quorum %d)", answered, newest.known, newest.quorum),
			"start the Sentinels that are down, or mend the network to them")
	case len(views) < asked:
		return probes.Warning(CheckSentinels, answered+" and agree on "+newest.primary, "start the Sentinels that are down, or mend the network to them")
	case newest.known > int64(asked):
		return probes.Warning(CheckSentinels, fmt.Sprintf("%s, and %d watch the primary", answered, newest.known), "name all Sentinels in sentinel.addresses")
	case newest.known < int64(asked):
		return probes.Warning(CheckSentinels, fmt.Sprintf("%s, and they know of %d", answered, newest.known), "see whether the Sentinels reach one another")
	}
	return probes.Passing(CheckSentinels, fmt.Sprintf("%s and agree on %s (quorum %d)", answered, newest.primary, newest.quorum))
}
