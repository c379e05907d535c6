#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/clock/clock.h"

namespace yagura::ingestion {

struct ListenerParts;
struct SenderState;

// Where the lines go that one thread of a listener has read. Not thread-safe.
class LineOutlet {
 public:
  virtual ~LineOutlet() = default;
  // Waits, at most so long, until it can tell whose lines are whose. False: not yet; lines may be
  // added all the same.
  virtual bool WaitReady(std::chrono::milliseconds timeout) = 0;
  // Takes what has changed outside into account.
  virtual void Refresh() = 0;
  virtual void Add(SenderState& state, std::string_view line, bool truncated,
                   TimePoint receive_time, SteadyTime now) = 0;
  // When something is due to be handed on.
  virtual std::optional<SteadyTime> NextDue() const = 0;
  // Something is full and should be handed on at once.
  virtual bool has_ready() const = 0;
  // Hands on what is due, or all. False: it is not taken; read no more from who can wait.
  virtual bool HandOn(bool all) = 0;
  // Gives up, and counts, what HandOn could not hand on.
  virtual void GiveUp() = 0;
  // Whether what is handed on flows; where not, read no more from who can wait.
  virtual bool flowing() const = 0;
  virtual void WaitFlowing(std::chrono::milliseconds timeout) = 0;
};

// Reads the lines, and hands their events as batches to the sink. `instance`: unique a process
// start and thread.
std::unique_ptr<LineOutlet> MakeEventOutlet(const ListenerParts& parts,
                                            const std::string& instance);

}  // namespace yagura::ingestion
