#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/log/log.h"
#include "services/ingestion/domain/intake.h"

namespace yagura::ingestion {

class BatchSink;
class CurrentSources;
class DescriptorBudget;
class IngestionMetrics;
class LineOutlet;
class MultiLineRule;
class Quarantine;
class TlsServer;

// What every listener is given.
struct ListenerParts {
  std::string instance;  // unique a process start
  Intake::Options intake;
  std::shared_ptr<BatchSink> sink;
  std::shared_ptr<CurrentSources> sources;
  std::shared_ptr<Quarantine> quarantine;
  std::shared_ptr<IngestionMetrics> metrics;
  std::shared_ptr<const Clock> clock;
  Logger logger;
  // Where the lines of a thread go; nothing: to the event streams. The name is unique a process
  // start and thread.
  std::function<std::unique_ptr<LineOutlet>(const std::string& name)> new_outlet = nullptr;
  std::shared_ptr<DescriptorBudget> descriptors = nullptr;  // null: no bound over all inputs
};

// The outlet of a listener's thread.
std::unique_ptr<LineOutlet> NewOutlet(const ListenerParts& parts, const std::string& listener,
                                      int thread);

struct ListenerOptions {
  std::string name;     // "syslog_udp", "syslog_tls": what sources match by
  std::string address;  // "127.0.0.1:5514"; port 0 takes a free one
  int threads = 1;
  // Lines wait so long for the first map of sources before they go to quarantine.
  std::chrono::milliseconds sources_wait{10'000};
  // TCP, a thread; fewer where ConnectionsThatFit says so.
  size_t max_connections = 10'000;
  // TCP: a connection that sends nothing for so long is closed; zero: never.
  std::chrono::milliseconds idle_timeout{3'600'000};
  // TCP, all threads: bytes of begun lines that connections may hold together. Each thread has an
  // equal part; above it, its connection that holds most is closed.
  uint64_t max_pending_bytes = 256 << 20;
  // TCP: which lines of a connection belong together; null: each is a message. What is counted in
  // octets is whole anyway.
  std::shared_ptr<const MultiLineRule> multi_line;
  std::shared_ptr<TlsServer> tls;  // TCP: set, every connection speaks TLS
  // TLS: a connection whose handshake takes longer is closed.
  std::chrono::milliseconds handshake_timeout{10'000};
  // TLS, a thread: connections that may be in their handshake; of more, the oldest is closed.
  size_t max_handshakes = 256;
  int receive_buffer_bytes = 8 << 20;  // UDP, a thread; the kernel may grant less
};

// How many connections a TCP thread may hold where the process may have so many files. Half is left
// to Redis, the spool and the rest: nobody needs to log in to make connections.
size_t ConnectionsThatFit(const ListenerOptions& options, uint64_t files);

// Takes syslog from the network on threads of its own.
class Listener {
 public:
  virtual ~Listener() = default;  // stops
  // Where it listens, with the port really taken.
  virtual const std::string& address() const = 0;
  virtual void Start() = 0;
  // Reads no more, hands on what was read.
  virtual void Stop() = 0;
};

absl::StatusOr<std::unique_ptr<Listener>> MakeTcpListener(const ListenerOptions& options,
                                                          const ListenerParts& parts);
absl::StatusOr<std::unique_ptr<Listener>> MakeUdpListener(const ListenerOptions& options,
                                                          const ListenerParts& parts);

}  // namespace yagura::ingestion
