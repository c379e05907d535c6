#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"

namespace yagura::event::v1 {
class Event;
}

// A batch of events of one tenant as one string of bytes, the payload of the event streams:
// columnar, every column with a dictionary of its distinct values, raw lines apart. Whatever is
// decided once per distinct value (a predicate, a parsed address) needs no decision per event.
namespace yagura::event {

struct EventView;

// Core columns. Names (alias.h) are those of the Event message: kSrcIp is "src.ip". The numbers are
// part of the format.
enum class Core : uint8_t {
  kSite = 1,
  kDevice = 2,
  kReceiveTime = 3,
  kEventTime = 4,
  kProduct = 5,
  kCategory = 6,
  kSeverity = 7,
  kAction = 8,
  kSrcIp = 9,
  kSrcPort = 10,
  kSrcTranslatedIp = 11,
  kSrcTranslatedPort = 12,
  kSrcHost = 13,
  kSrcInterface = 14,
  kSrcZone = 15,
  kSrcMac = 16,
  kSrcCountry = 17,
  kDstIp = 18,
  kDstPort = 19,
  kDstTranslatedIp = 20,
  kDstTranslatedPort = 21,
  kDstHost = 22,
  kDstInterface = 23,
  kDstZone = 24,
  kDstMac = 25,
  kDstCountry = 26,
  kMessage = 27,
  kProtocol = 28,
  kApp = 29,
  kBytesOut = 30,
  kBytesIn = 31,
  kPacketsOut = 32,
  kPacketsIn = 33,
  kDuration = 34,
  kRule = 35,
  kSignatureId = 36,
  kSignature = 37,
  kUser = 38,
  kUrl = 39,
  kSession = 40,
  kVirtualContext = 41,
  kDirection = 42,
  kProgram = 43,
  kHost = 44,
  kOrigin = 45,
  kFlaws = 46,
  kParseError = 47,
  kVendorEventId = 48,
};
inline constexpr int kMaxCore = 48;

enum class ColumnKind : uint8_t {
  kText = 0,    // bytes; an address is its 4 or 16 bytes
  kNumber = 1,  // unsigned; enums by number; flaws as a bit set (bit n for Flaw n)
  kTime = 2,    // int64 nanoseconds: since 1970 UTC, or of the duration
};
ColumnKind KindOf(Core column);

// Distinct values of one column, once each, and for every event which of them it has. Texts point
// into the reader and live as long as it does.
struct Column {
  ColumnKind kind = ColumnKind::kText;
  std::vector<std::string_view> texts;  // kText: distinct values in order of first appearance
  std::vector<int64_t> numbers;         // kNumber (as the bits of a uint64_t) and kTime
  // One entry an event: 0 where the event has no value (or the default), else 1 + index into
  // `texts` or `numbers`. Empty where no event of the batch has a value.
  std::vector<uint16_t> rows;

  bool empty() const { return rows.empty(); }
  size_t distinct() const { return kind == ColumnKind::kText ? texts.size() : numbers.size(); }
  bool has(size_t row) const { return row < rows.size() && rows[row] != 0; }
  std::string_view text(size_t row) const {
    return has(row) ? texts[rows[row] - 1] : std::string_view{};
  }
  uint64_t number(size_t row) const { return static_cast<uint64_t>(signed_number(row)); }
  int64_t signed_number(size_t row) const { return has(row) ? numbers[rows[row] - 1] : 0; }
};

// The original fields of a batch's events, each in the order in which its event has them. Points
// into the reader.
struct FieldTable {
  struct Source {
    std::string_view name;
    uint64_t occurrence;   // 0: the first of that name within its event
    const Column* column;  // of texts
  };
  std::vector<Source> sources;
  // Distinct orders: indexes into `sources`, each of which has a value in every event of the order.
  std::vector<std::vector<uint16_t>> orders;
  // By event: 0 without fields, else 1 + index into `orders`. Empty where no event has fields.
  std::vector<uint16_t> rows;
};

// What all events of a batch share.
struct BatchHeader {
  std::string tenant;
  // Unique and deterministic: the same input resent gives the same id (see BatchIdOf).
  std::string batch_id;
  TimePoint receive_time;  // of the first event
};

// "{batch id}-{index in batch}".
std::string EventId(std::string_view batch_id, size_t index);

// Collects events and writes them as one batch. Not thread-safe. Reuse one builder (Reset): it
// keeps its memory.
class BatchBuilder {
 public:
  enum class Compression : uint8_t { kNone = 0, kLz4 = 1, kZstd = 2 };
  static constexpr size_t kMaxEvents = 8192;
  static constexpr size_t kMaxFieldsPerEvent = 4096;

  explicit BatchBuilder(BatchHeader header = {});
  ~BatchBuilder();
  BatchBuilder(BatchBuilder&&) noexcept;
  BatchBuilder& operator=(BatchBuilder&&) noexcept;

  // `id` and `tenant` of the event are not stored: they follow from the header. Texts of `string`
  // fields become valid UTF-8; `bytes` are kept exactly. An Endpoint without values comes back
  // unset. Fields beyond kMaxFieldsPerEvent are not stored. Must not be called when full().
  void Add(const EventView& event);
  void Add(const v1::Event& event);

  size_t size() const;  // events so far
  // Bytes of raw lines and of distinct values so far, before compression: what "64 KiB" is about.
  size_t size_bytes() const;
  // The codec takes no further event.
  bool full() const;

  // Where the id depends on the events, it is known only when they are all there.
  void SetBatchId(std::string id);
  // The batch; the builder is then empty with the same header.
  std::string Finish();
  // Which compression to use, for the bench; otherwise the one that docs/adr/0001 chose.
  std::string Finish(Compression compression);
  void Reset(BatchHeader header);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Reads one batch. Not thread-safe. Hostile input gives INVALID_ARGUMENT (BAD_BATCH) from Open or
// from the call that needs the broken part, within bounded memory.
class BatchReader {
 public:
  // Copies what it needs: `bytes` may go away. Reads header and directory, not the columns.
  static absl::StatusOr<BatchReader> Open(std::string_view bytes);
  BatchReader(BatchReader&&) noexcept;
  BatchReader& operator=(BatchReader&&) noexcept;
  ~BatchReader();

  const BatchHeader& header() const;
  const std::string& tenant() const { return header().tenant; }
  const std::string& batch_id() const { return header().batch_id; }
  size_t size() const;  // events
  std::string EventId(size_t index) const { return event::EventId(batch_id(), index); }

  // One whole event, with id and tenant. Decodes all columns on first use.
  absl::Status Get(size_t index, v1::Event* event);

  // Single columns: only what is asked for is decoded, once; the reference lives as long as the
  // reader. A column that no event has is an empty one.
  absl::StatusOr<const Column*> Read(Core column);
  // An original field by its exact name. Where an event has the name several times, its first
  // value.
  absl::StatusOr<const Column*> ReadField(std::string_view name);
  // Distinct names of original fields in this batch, in order of first appearance.
  const std::vector<std::string_view>& field_names() const;
  // Every value of that field name: [0] is ReadField's, [1] the second occurrence within an
  // event...
  absl::StatusOr<std::vector<const Column*>> ReadFieldAll(std::string_view name);
  // All fields of all events. INVALID_ARGUMENT (BAD_BATCH) where an order names what is not there.
  absl::StatusOr<const FieldTable*> ReadFields();
  // The raw line. Raw lines are decompressed on first use.
  absl::StatusOr<std::string_view> Raw(size_t index);
  // All raw lines, in order.
  absl::StatusOr<const std::vector<std::string_view>*> RawLines();

 private:
  struct Impl;
  explicit BatchReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// How many events a batch says it has, without decompressing or verifying anything: for metrics and
// to decide how much to read. 0 where these bytes are no batch.
size_t ClaimedEvents(std::string_view batch);

// A short deterministic batch id (26 characters of [0-9a-v]) from what makes the batch unique, for
// example {principal, sender's batch id, source} or {listener start, source, sequence}.
std::string BatchIdOf(const std::vector<std::string_view>& parts);

}  // namespace yagura::event
