#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/event/batch_codec.h"
#include "services/detection/domain/hits.h"
#include "yagura/detection/v1/finding.pb.h"

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

  // Of the whole batch, which a batch of its parts leaves as it is.
  uint64_t RowOf(size_t row) const { return row < rows_.size() ? rows_[row] : row; }

  // Without matched fields.
  absl::StatusOr<v1::Evidence> EvidenceOf(size_t row);
  // As of Finding.event.
  absl::StatusOr<event::v1::Event> CoreOf(size_t row);
  // What a finding of a single-event rule is about, as group-by fields: who did it, seen by which
  // device, and whether the device stopped it. What was stopped is another matter than what was
  // not. The values live as long as this.
  struct GroupValue {
    std::string_view name;
    std::string_view value;
  };
  std::vector<GroupValue> SubjectOf(size_t row);

 private:
  // An original field that names an entity.
  struct NamedField {
    v1::EntityType type;
    std::string_view role;
    std::vector<const event::Column*> columns;
  };
  absl::Status LoadAll();
  absl::Status FindNamedFields();
  const event::Column& At(event::Core core) const { return *columns_[static_cast<size_t>(core)]; }
  std::string_view DirectionOf(size_t row) const;
  void AddEntities(size_t row, v1::Evidence& evidence) const;

  event::BatchReader& batch_;
  const std::span<const uint32_t> rows_;
  bool has_all_ = false;
  std::vector<NamedField> named_;
  std::array<const event::Column*, event::kMaxCore + 1> columns_{};  // by number
  const event::Column* src_scope_ = nullptr;
  const event::Column* dst_scope_ = nullptr;
  std::vector<std::string> src_ips_;  // as text, by value of the column
};

void AddField(google::protobuf::RepeatedPtrField<event::v1::Field>& fields, std::string_view name,
              std::string_view value, size_t limit);

// Text of 4 or 16 bytes; empty for none.
std::string AddressText(std::string_view bytes);

// Of two the one that let more through.
event::v1::Action LaxerAction(event::v1::Action a, event::v1::Action b);

}  // namespace yagura::detection
