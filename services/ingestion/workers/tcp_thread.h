#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <unordered_map>

#include "services/ingestion/domain/framing.h"
#include "services/ingestion/workers/channel.h"
#include "services/ingestion/workers/line_outlet.h"
#include "services/ingestion/workers/listener.h"
#include "services/ingestion/workers/socket.h"

namespace yagura::ingestion {

// One thread of a TCP or TLS listener: its own listening socket, its connections, its batches.
// Reads nothing while the event streams take nothing, so that senders wait in TCP's own way.
class TcpThread {
 public:
  // `options` and `parts` outlive it.
  TcpThread(const ListenerOptions& options, const ListenerParts& parts, Socket listening,
            int number);
  ~TcpThread();
  // Serves until told to stop; Wake makes it look at once.
  void Run(const std::stop_token& stop);
  void Wake();

 private:
  struct Connection;
  using Connections = std::unordered_map<int, std::unique_ptr<Connection>>;

  void Watch(int fd);
  void WatchFor(Connection& connection, Channel::State state);
  int Timeout() const;
  void Poll(int timeout);
  void Accept();
  // The kernel has nothing for a connection: accepting waits, so that the loop does not spin.
  void PauseAccepting();
  void ResumeAccepting();
  // False: the connection has ended.
  bool Serve(Connection& connection);
  bool Open(Connection& connection);
  bool Read(Connection& connection);
  void CountHeld(Connection& connection, size_t now);
  void CloseHoarders();
  void CloseIdle();
  void CloseSlowHandshakes();
  // Closes it, and counts and tells why.
  void Cut(int fd, const char* reason, const std::string& detail = {});
  void Tell(const std::string& peer, const char* reason, const std::string& detail);
  Framer::Sink Sink(Connection& connection);
  void TakeLine(Connection& connection, std::string_view line, bool truncated,
                TimePoint receive_time, SteadyTime now);
  // What the connection has of an event is whole.
  void EndEvent(Connection& connection);
  void EndStillEvents();
  void Close(int fd);
  void Finish();

  const ListenerOptions& options_;
  const ListenerParts& parts_;
  const uint64_t max_held_;
  uint64_t held_ = 0;  // bytes of begun lines of all connections
  const std::unique_ptr<LineOutlet> outlet_;
  Socket listening_;
  Socket epoll_;
  Socket wake_;
  Connections connections_;
  std::list<int> in_event_;     // those with an event that may go on, the stillest first
  std::list<int> opening_;      // those that still shake hands, the oldest first
  SteadyTime reading_since_{};  // without a pause of ours
  SteadyTime next_idle_check_{};
  SteadyTime next_telling_{};
  std::optional<SteadyTime> accept_again_;  // set: accepting waits until then
  bool told_of_pause_ = false;
  uint64_t untold_ = 0;
  std::string buffer_;
};

}  // namespace yagura::ingestion
