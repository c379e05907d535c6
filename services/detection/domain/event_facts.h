#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/event/batch_codec.h"
#include "services/detection/domain/hits.h"
#include "yagura/detection/internal/v1/hits.pb.h"

namespace yagura::detection {

inline constexpr int kMaxEvidenceEntities = 16;
inline constexpr size_t kMaxEntityValue = 256;

// What hits tell of the events of one batch: when, where, who and what. Reads a column of the batch
// when it is first asked for. Not thread-safe.
class EventFacts {
 public:
  // `rows`: as of HitSource. Both must outlive it.
  EventFacts(event::BatchReader& batch, std::span<const uint32_t> rows)
      : batch_(batch), rows_(rows) {}

  // Before anything else. INVALID_ARGUMENT (BAD_BATCH) for a broken batch.
  absl::Status Load();

  int64_t ReceiveNanos(size_t row) const;
  // Event time, never later than receive time: a device's clock may be wrong, but it cannot have
  // seen what has not reached us yet.
  int64_t WindowTime(size_t row) const;
  event::v1::Action ActionOf(size_t row) const;

  // Without matched fields.
  absl::StatusOr<v1::Evidence> EvidenceOf(size_t row);
  // Device, site and typed core.
  absl::Status Describe(size_t row, internal::v1::Hit& hit);
  // What a finding of a single-event rule is about: who did it, seen by which device, and whether
  // the device stopped it. What was stopped is another matter than what was not.
  void AddSubject(size_t row, internal::v1::Hit& hit) const;

 private:
  // An original field that names an entity.
  struct NamedField {
    v1::EntityType type;
    std::string_view role;
    std::string name;
  };
  void FindNamedFields();
  absl::StatusOr<std::string_view> DirectionOf(size_t row);
  absl::Status AddEntities(size_t row, v1::Evidence& evidence);

  event::BatchReader& batch_;
  const std::span<const uint32_t> rows_;
  bool found_ = false;
  std::vector<NamedField> named_;
  const event::Column* event_time_ = nullptr;
  const event::Column* receive_time_ = nullptr;
  const event::Column* device_ = nullptr;
  const event::Column* site_ = nullptr;
  const event::Column* action_ = nullptr;
  const event::Column* src_ip_ = nullptr;
  const event::Column* user_ = nullptr;
  const event::Column* host_ = nullptr;
};

void AddField(google::protobuf::RepeatedPtrField<event::v1::Field>& fields, std::string_view name,
              std::string_view value, size_t limit);

// Text of 4 or 16 bytes; empty for none.
std::string AddressText(std::string_view bytes);

// Of two the one that let more through.
event::v1::Action LaxerAction(event::v1::Action a, event::v1::Action b);

}  // namespace yagura::detection
