#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/eventstore/row_binary.h"
#include "common/eventstore/value.h"
#include "services/archive/domain/block_column.h"
#include "yagura/archive/v1/proof.pb.h"

// What proves that stored events are those that came: digests over all of a row but what changes in
// the store by itself or may be derived anew (see row_text.h); those of scheme 1 over the raw line,
// its time of receipt, its id and who sent it alone. yagura/archive/v1/proof.proto says byte by
// byte what is hashed.
//
// The events of one insert, tenant and day of receipt are a unit. Units are chained per tenant and
// day (UTC), and the ends of the chains, the heads, are signed.
namespace yagura::archive {

using Sha256Digest = std::array<char, 32>;

// By which the events of a unit are digested that is stored now. Units of releases before schema 12
// are of 1.
inline constexpr uint32_t kUnitScheme = 2;

// The digest of one event, by its text (see row_text.h).
Sha256Digest EventDigest(std::string_view text);

// A unit, as it is stored.
struct EventUnit {
  std::string tenant;
  int64_t day = 0;      // since 1970
  uint64_t number = 0;  // of the insert
  std::string digest;   // 32 bytes, over the digests of its events in order of (receive time, id)
  uint64_t events = 0;
  // The first two bytes of each event's digest, as a number: they say which event is not as it was.
  // As it is inserted; what is read has none.
  std::vector<uint16_t> checks;
  int64_t first_time = 0;  // of receipt, nanoseconds
  int64_t last_time = 0;
  uint32_t expires = 0;  // seconds: when the first of its events may go by retention, held or not
  // Seconds: the same, or kHeldUntil where a hold touches its day; the digest stays for longer.
  uint32_t kept = 0;
  int64_t stored = 0;  // seconds, by the store's clock; as it is read
  uint32_t scheme = 1;
};

// Digests and heads stay so long after the first of their events may have gone: nothing that is
// still there lacks them.
inline constexpr std::chrono::days kUnitsOutlive{40};
inline constexpr std::chrono::days kHeadsOutlive{80};

// So long after it was stored a unit has been sealed.
inline constexpr std::chrono::minutes kSealedWithin{30};

// The number of the units of an insert, from its deduplication token; never 0.
uint64_t UnitNumber(std::string_view token);

// Collects the events of an insert. Not thread-safe.
class UnitCollector {
 public:
  void Add(const BatchRows& batch);
  // Its units; the collector is empty then.
  std::vector<EventUnit> Take(uint64_t number);

 private:
  struct Item {
    int64_t receive_time;
    std::string id;
    Sha256Digest digest;
    uint32_t expires;
    bool held;
  };
  std::map<std::pair<std::string, int64_t>, std::vector<Item>> items_;  // by tenant and day
};

// Over the digests of a unit's events, in order.
class UnitDigest {
 public:
  explicit UnitDigest(uint32_t scheme);
  ~UnitDigest();
  UnitDigest(UnitDigest&&) noexcept;
  UnitDigest& operator=(UnitDigest&&) noexcept;
  void Add(const Sha256Digest& event);
  std::string Finish();  // 32 bytes

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};
uint16_t CheckOf(const Sha256Digest& event);

// The chain of a tenant's day.
std::string UnitChainStart(std::string_view tenant, int64_t day);
// `scheme` is that of the head: 1 leaves times and expiry of the unit out, all before 4 its scheme.
std::string UnitChainNext(std::string_view previous, const EventUnit& unit, uint32_t scheme);
// The scheme of heads that are made now.
inline constexpr uint32_t kHeadScheme = 4;
// Whether a head of that scheme may have that unit: those before know of units of scheme 1 alone.
inline bool MayHave(const v1::EventHead& head, const EventUnit& unit) {
  return unit.scheme <= (head.scheme() < 4 ? 1 : kUnitScheme);
}
// A later release sealed it, by a scheme that nothing is known of here.
inline bool IsOfLaterScheme(const v1::EventHead& head) { return head.scheme() > kHeadScheme; }
// What a head's signature is over.
std::string EventHeadText(const v1::EventHead& head);

// Tables. `settings` as of every table that is inserted into with tokens.
std::string CreateUnits(std::string_view settings);
std::string CreateUnitHeads(std::string_view settings);
// Units of schemas 9 to 11 have scheme 1.
std::vector<std::string> AlterUnits();
// Heads of schema 9 have scheme 1. From 10 on all heads of a day are dropped together, once none is
// needed any more (ProofStore::DropHeads); what nobody dropped for years goes all the same.
std::vector<std::string> AlterUnitHeads();

inline constexpr std::string_view kInsertUnits =
    "INSERT INTO yagura.event_units (tenant, day, unit, digest, checks, first_time, last_time, "
    "expires, kept, scheme) FORMAT RowBinary";
void EncodeUnit(const EventUnit& unit, eventstore::RowBinaryWriter* out);
// In the order of DecodeUnit.
inline constexpr std::string_view kUnitColumns =
    "toString(tenant), toInt64(toUInt16(day)), unit, digest, toUInt64(length(checks)), "
    "toUnixTimestamp64Nano(first_time), toUnixTimestamp64Nano(last_time), "
    "toUInt64(toUnixTimestamp(expires)), toUInt64(toUnixTimestamp(kept)), "
    "toInt64(toUnixTimestamp(stored)), toUInt64(scheme)";
EventUnit DecodeUnit(const eventstore::Row& row);

inline constexpr std::string_view kInsertUnitHeads =
    "INSERT INTO yagura.event_heads (tenant, day, sequence, units, rows, previous_hash, hash, "
    "seal_time, expires, key_id, signature, scheme, kept) FORMAT RowBinary";
// `kept`: seconds, kHeldUntil where a hold touches its day.
void EncodeEventHead(const v1::EventHead& head, uint32_t kept, eventstore::RowBinaryWriter* out);
inline constexpr std::string_view kEventHeadColumns =
    "toString(tenant), toInt64(toUInt16(day)), sequence, units, rows, previous_hash, hash, "
    "toUnixTimestamp64Nano(seal_time), toUInt64(toUnixTimestamp(expires)), toString(key_id), "
    "signature, toUInt64(scheme)";
v1::EventHead DecodeEventHead(const eventstore::Row& row);

}  // namespace yagura::archive
