// A receiver for Go 1.19 or newer, without modules: verify, store, answer.
//
//	go run receiver.go SECRETS.json EVENTS.jsonl ADDRESS
//
// SECRETS.json has the fields of the webhook's Vault document: the Vault Agent writes it (vault-agent.hcl).
package main

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

const bodyMax = 1 << 20

// --- secrets ---------------------------------------------------------------------------------------------

// Secrets are those that may sign now. They are read again after a wrong signature, once a second at most,
// because anybody can send one.
type Secrets struct {
	file   string
	mutex  sync.Mutex
	known  []string
	readAt time.Time
}

// candidates returns the current secret, the pending and the previous ones: all of them sign while a secret
// is being replaced.
func candidates(fields map[string]any) []string {
	values := []any{fields["signing_secret"], fields["pending_signing_secret"], fields["previous_signing_secret"]}
	if text, ok := fields["previous_signing_secrets"].(string); ok {
		previous := map[string]any{}
		if json.Unmarshal([]byte(text), &previous) == nil {
			for _, value := range previous {
				values = append(values, value)
			}
		}
	}
	found := []string{}
	for _, value := range values {
		if secret, ok := value.(string); ok && secret != "" {
			found = append(found, secret)
		}
	}
	return found
}

func (s *Secrets) read() {
	s.readAt = time.Now()
	fields := map[string]any{}
	text, err := os.ReadFile(s.file)
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		log.Print("secrets not read: those read before stay in use")
		return
	}
	s.known = candidates(fields)
}

func (s *Secrets) match(body []byte, signature string) bool {
	verified := false
	for _, secret := range s.known {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		// Compares in constant time.
		if hmac.Equal([]byte(hex.EncodeToString(mac.Sum(nil))), []byte(signature)) {
			verified = true
		}
	}
	return verified
}

// Verify returns whether one of the secrets signed the raw body.
func (s *Secrets) Verify(body []byte, signature string) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.match(body, signature) {
		return true
	}
	if time.Since(s.readAt) < time.Second {
		return false
	}
	s.read()
	return s.match(body, signature)
}

// --- events ----------------------------------------------------------------------------------------------

// Event is the part of a delivery that identifies it.
type Event struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

// Store keeps events in a file. Replace it by your queue: it must be durable before the answer, and an event
// can be delivered again.
type Store struct {
	mutex sync.Mutex
	file  *os.File
	known map[string]bool
}

func openStore(path string) (*Store, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	store := &Store{file: file, known: map[string]bool{}}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 2*bodyMax)
	for lines.Scan() {
		var event Event
		if json.Unmarshal(lines.Bytes(), &event) == nil {
			store.known[event.ID] = true
		}
	}
	return store, lines.Err()
}

func (s *Store) put(event Event, body []byte) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.known[event.ID] {
		return nil
	}
	line := bytes.Buffer{}
	if err := json.Compact(&line, body); err != nil {
		return err
	}
	line.WriteByte('\n')
	if _, err := s.file.Write(line.Bytes()); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	s.known[event.ID] = true
	return nil
}

// --- requests --------------------------------------------------------------------------------------------

func receive(secrets *Secrets, store *Store, w http.ResponseWriter, r *http.Request) int {
	if r.Method != http.MethodPost {
		return http.StatusMethodNotAllowed
	}
	if r.ContentLength > bodyMax {
		return http.StatusRequestEntityTooLarge
	}
	// The raw bytes: a body that was parsed and written again has another signature.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMax))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge
	} else if err != nil {
		return http.StatusBadRequest
	}
	if !secrets.Verify(body, r.Header.Get("X-Zof-Signature")) {
		return http.StatusUnauthorized
	}
	var event Event
	if json.Unmarshal(body, &event) != nil || event.ID == "" || event.Type == "" {
		return http.StatusBadRequest
	}
	if err := store.put(event, body); err != nil {
		log.Print("event not stored: ", err)
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: receiver SECRETS.json EVENTS.jsonl ADDRESS")
	}
	secrets := &Secrets{file: os.Args[1]}
	secrets.read()
	store, err := openStore(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	server := http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(receive(secrets, store, w, r))
		}),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
	}
	fmt.Printf("http://%s\n", listener.Addr())
	log.Fatal(server.Serve(listener))
}
