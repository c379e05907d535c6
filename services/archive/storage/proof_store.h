#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "services/archive/domain/event_proof.h"

namespace yagura::eventstore {
class Client;
}
namespace yagura::redis {
class Pool;
}

namespace yagura::archive {

// Units and heads in the event store, and what the state Redis remembers of each day's last head:
// what was cut off the end of a day's chain is missed by that. Thread-safe. Errors are those of
// Client.
class ProofStore {
 public:
  ProofStore(std::shared_ptr<eventstore::Client> client, std::shared_ptr<redis::Pool> state);

  // Durable once they return; the same token again changes nothing.
  absl::Status InsertUnits(const std::vector<EventUnit>& units, const std::string& token) const;
  // Where the day has a head of that sequence already, that one stays.
  absl::Status InsertHead(const v1::EventHead& head) const;

  // Of one tenant and day, in order.
  absl::StatusOr<std::vector<v1::EventHead>> Heads(std::string_view tenant, int64_t day) const;
  absl::StatusOr<std::map<uint64_t, EventUnit>> Units(std::string_view tenant, int64_t day) const;
  // Of a unit's events, in order.
  absl::StatusOr<std::vector<uint16_t>> Checks(const EventUnit& unit) const;
  // Units that were stored at `since` or later and that no head has, at most kUnsealedAtOnce, by
  // tenant, day and number.
  static constexpr size_t kUnsealedAtOnce = 20'000;
  absl::StatusOr<std::vector<EventUnit>> Unsealed(TimePoint since) const;

  struct StoredEvent {
    uint64_t unit = 0;
    int64_t receive_time = 0;
    std::string id;
    Sha256Digest digest{};
  };
  // What lies there of a tenant and day, or of one unit of it (not 0), by (receive time, id).
  using Visitor = std::function<absl::Status(const StoredEvent&)>;
  absl::Status Visit(std::string_view tenant, int64_t day, uint64_t unit,
                     const std::stop_token& stop, const Visitor& visit) const;

  struct Remembered {
    uint32_t sequence = 0;
    std::string hash;
  };
  absl::Status Remember(const v1::EventHead& head) const;
  absl::StatusOr<Remembered> Recall(std::string_view tenant, int64_t day) const;
  // Drops what is remembered of days before.
  absl::Status Forget(std::string_view tenant, int64_t before_day) const;

 private:
  const std::shared_ptr<eventstore::Client> client_;
  const std::shared_ptr<redis::Pool> state_;
};

}  // namespace yagura::archive
