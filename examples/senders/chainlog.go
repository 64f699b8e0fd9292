// Package chainlog sends entries to `chainlog serve` in batches. Copy this file; it needs only the standard library.
//
//	sender := chainlog.New("http://127.0.0.1:4290", os.Getenv("CHAINLOG_KEY"))
//	defer sender.Close(5 * time.Second)
//	sender.Log(chainlog.Entry{"chainName": "default", "providerId": "groq", "model": "m", "latencyMs": 412, "httpStatus": 200})
package chainlog

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxQueue   = 10_000
	maxBatch   = 500
	flushEvery = 200 * time.Millisecond
	timeout    = 10 * time.Second
	maxPause   = 5 * time.Second
)

// Entry has the fields of POST /v1/logs.
type Entry map[string]any

// Sender is safe for concurrent use.
type Sender struct {
	url, key string
	queue    chan json.RawMessage
	dropped  atomic.Int64
	lock     sync.RWMutex
	isClosed bool
	context  context.Context
	cancel   context.CancelFunc
	done     chan struct{}
}

// New returns a sender to the server at that URL, with a key if the server has keys.
func New(url, key string) *Sender {
	s := &Sender{url: url + "/v1/logs", key: key, queue: make(chan json.RawMessage, maxQueue), done: make(chan struct{})}
	s.context, s.cancel = context.WithCancel(context.Background())
	go s.work()
	return s
}

// Dropped counts the entries that were not logged: the queue was full, they are no JSON, or the server refused them.
func (s *Sender) Dropped() int64 { return s.dropped.Load() }

// Log accepts an entry and returns at once; false if it was not accepted.
func (s *Sender) Log(entry Entry) bool {
	if _, ok := entry["timestamp"]; !ok {
		stamped := Entry{"timestamp": time.Now().UnixMilli()}
		for name, value := range entry {
			stamped[name] = value
		}
		entry = stamped
	}
	line, err := json.Marshal(entry)
	s.lock.RLock()
	defer s.lock.RUnlock()
	if err == nil && !s.isClosed {
		select {
		case s.queue <- line:
			return true
		default:
		}
	}
	s.dropped.Add(1)
	return false
}

// Close sends what waits, and returns once the server has it, or after the grace; what is left then counts as dropped.
func (s *Sender) Close(grace time.Duration) {
	s.lock.Lock()
	if !s.isClosed {
		s.isClosed = true
		close(s.queue)
	}
	s.lock.Unlock()
	timer := time.AfterFunc(grace, s.cancel)
	defer timer.Stop()
	<-s.done
}

func (s *Sender) work() {
	defer close(s.done)
	for line := range s.queue {
		batch := []json.RawMessage{line}
		flush := time.After(flushEvery)
	collecting:
		for len(batch) < maxBatch {
			select {
			case line, ok := <-s.queue:
				if !ok {
					break collecting
				}
				batch = append(batch, line)
			case <-flush:
				break collecting
			}
		}
		s.dropped.Add(int64(s.send(batch)))
	}
}

// send sends a batch until the server answers it; by its key it counts once. It returns how many entries were refused.
func (s *Sender) send(batch []json.RawMessage) int {
	body, _ := json.Marshal(batch)
	key := make([]byte, 16)
	_, _ = rand.Read(key)
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, maxPause) {
		if refused, answered := s.post(body, hex.EncodeToString(key), len(batch)); answered {
			return refused
		}
		select {
		case <-time.After(pause):
		case <-s.context.Done():
			return len(batch)
		}
	}
}

func (s *Sender) post(body []byte, key string, size int) (refused int, answered bool) {
	ctx, cancel := context.WithTimeout(s.context, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return size, true
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	if s.key != "" {
		request.Header.Set("Authorization", "Bearer "+s.key)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, false
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusAccepted {
		var answer struct {
			Rejected []json.RawMessage `json:"rejected"`
		}
		err := json.NewDecoder(response.Body).Decode(&answer)
		return len(answer.Rejected), err == nil
	}
	isTransient := response.StatusCode >= 500 || response.StatusCode == 408 || response.StatusCode == 429
	return size, !isTransient
}

func min(a, b time.Duration) time.Duration {
	if a < b {
		return a
	}
	return b
}
