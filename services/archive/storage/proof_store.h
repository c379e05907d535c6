#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "services/archive/domain/event_proof.h"
#include "services/archive/domain/time_window.h"

namespace yagura::eventstore {
class Client;
}

namespace yagura::archive {

class UnitLedger;

// Units and heads in the event store. Thread-safe. Errors are those of Client.
class ProofStore {
 public:
  // Units are noted in `ledger` before they are stored, and once they are; null: they are not, and
  // will not be sealed.
  explicit ProofStore(std::shared_ptr<eventstore::Client> client,
                      const UnitLedger* ledger = nullptr);

  // Durable once they return; the same token again changes nothing.
  absl::Status InsertUnits(const std::vector<EventUnit>& units, const std::string& token) const;
  // Where the day has a head of that sequence already, that one stays. `kept`: seconds, kHeldUntil
  // where a hold touches the day.
  absl::Status InsertHead(const v1::EventHead& head, uint32_t kept) const;

  // Of one tenant and day, in order.
  absl::StatusOr<std::vector<v1::EventHead>> Heads(std::string_view tenant, int64_t day) const;
  // By number. Of several with the same number, which this suite never stores, the first by digest;
  // such numbers come in `doubled`, if it is given.
  absl::StatusOr<std::map<uint64_t, EventUnit>> Units(std::string_view tenant, int64_t day,
                                                      std::set<uint64_t>* doubled = nullptr) const;
  // Those of `numbers` that are units of the day.
  absl::StatusOr<std::set<uint64_t>> KnownUnits(std::string_view tenant, int64_t day,
                                                const std::vector<uint64_t>& numbers) const;
  // Those of `numbers` that a head of the day names.
  absl::StatusOr<std::set<uint64_t>> SealedUnits(std::string_view tenant, int64_t day,
                                                 const std::vector<uint64_t>& numbers) const;
  // Of a unit's events, in order.
  absl::StatusOr<std::vector<uint16_t>> Checks(const EventUnit& unit) const;
  // Units that were stored at `since` or later and that no head has, by tenant, day, number and
  // digest, behind `after` where that is given; at most kUnsealedAtOnce.
  static constexpr size_t kUnsealedAtOnce = 20'000;
  absl::StatusOr<std::vector<EventUnit>> Unsealed(TimePoint since,
                                                  const std::optional<EventUnit>& after) const;
  // Whether any event is there that has no unit.
  absl::StatusOr<bool> HasUnproven() const;
  // By the store's clock, in whole seconds: that by which units were stored.
  absl::StatusOr<TimePoint> Now() const;

  struct LastHead {
    uint32_t sequence = 0;
    std::string hash;
  };
  absl::StatusOr<std::map<int64_t, LastHead>> LastHeads(std::string_view tenant) const;  // by day
  absl::StatusOr<std::vector<std::string>> TenantsWithHeads() const;
  absl::Status DropHeads(std::string_view tenant, const std::vector<int64_t>& days) const;

  // Days from the first to the last, since 1970.
  struct DayRange {
    int64_t first = 0;
    int64_t last = 0;
  };
  static DayRange DaysOf(const TimeWindow& window);
  // Digests and heads of these days stay until they are let go.
  absl::Status Keep(std::string_view tenant, const DayRange& days) const;
  // They go as they would have without, but none of the days in `except`, and none sooner than
  // `grace` from now.
  absl::Status LetGo(std::string_view tenant, const DayRange& days,
                     const std::vector<DayRange>& except, std::chrono::seconds grace) const;
  // The latest time (seconds since 1970) at which events of one of the day's units were to go; 0
  // where there is none.
  absl::StatusOr<int64_t> LatestExpiry(std::string_view tenant, int64_t day) const;

  struct StoredEvent {
    uint64_t unit = 0;
    int64_t receive_time = 0;
    std::string id;
    Sha256Digest digest{};  // of an event of one of `units` whose scheme is known
  };
  // What lies there of a tenant and day, or of one unit of it (not 0), by (receive time, id).
  // `units`, by number, say how its events are digested.
  using Visitor = std::function<absl::Status(const StoredEvent&)>;
  absl::Status Visit(std::string_view tenant, int64_t day, uint64_t unit,
                     const std::map<uint64_t, EventUnit>& units, const std::stop_token& stop,
                     const Visitor& visit) const;

 private:
  absl::Status SetKept(std::string_view table, std::string_view tenant, const DayRange& days,
                       const std::string& kept, const std::string& condition) const;

  const std::shared_ptr<eventstore::Client> client_;
  const UnitLedger* const ledger_;
};

}  // namespace yagura::archive
