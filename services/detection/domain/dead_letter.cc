#include "services/detection/domain/dead_letter.h"

#include "common/event/batch_codec.h"
#include "common/store/resource_name.h"
#include "common/text/text.h"
#include "services/detection/domain/evidence_block.h"
#include "services/detection/domain/findings.h"
#include "services/detection/domain/packed.h"
#include "yagura/detection/internal/v1/hits.pb.h"
#include "yagura/detection/v1/finding.pb.h"

namespace yagura::detection {
namespace {

constexpr int kMaxEvents = 20;
constexpr size_t kMaxText = 2048;

void AddBatch(const std::string& payload, const std::string& key, v1::DeadLetter& letter) {
  auto batch = event::BatchReader::Open(payload);
  if (!batch.ok()) return;
  for (size_t i = 0; i < batch->size() && letter.events_size() < kMaxEvents; ++i) {
    auto& event = *letter.add_events();
    if (!batch->Get(i, &event).ok()) {
      letter.mutable_events()->RemoveLast();
      return;
    }
    // A lone event is known by the id that it had in its batch.
    if (batch->size() == 1) event.set_id(key);
    if (event.raw().size() > kMaxText) event.mutable_raw()->resize(kMaxText);
    if (event.message().size() > kMaxText) {
      event.set_message(ToValidUtf8(std::string_view(event.message()).substr(0, kMaxText)));
    }
    if (event.ByteSizeLong() > 4 * kMaxText) event.clear_fields();
  }
}

void AddEvidence(const google::protobuf::RepeatedPtrField<v1::Evidence>& evidence,
                 std::string_view tenant, v1::DeadLetter& letter) {
  for (const auto& one : evidence) {
    if (letter.events_size() == kMaxEvents) return;
    auto& event = *letter.add_events();
    event.set_id(one.event_id());
    event.set_tenant(std::string(tenant));
    *event.mutable_event_time() = one.event_time();
    *event.mutable_receive_time() = one.receive_time();
    event.set_raw(one.raw().substr(0, kMaxText));
  }
}

}  // namespace

std::optional<std::string> TenantOfLetter(std::string_view topic, const std::string& payload) {
  if (topic == "events") {
    const auto batch = event::BatchReader::Open(payload);
    return batch.ok() ? batch->tenant() : "";
  }
  if (topic == "hits") {
    internal::v1::HitBatch batch;
    return Unpack(payload, batch).ok() ? batch.tenant() : "";
  }
  if (topic == "coverage") return "";  // of many tenants
  v1::Finding finding;
  if (!finding.ParseFromString(payload)) return "";
  if (IsDeadLetterFinding(finding)) return std::nullopt;
  return std::string(store::TenantOf(finding.name()).value_or(""));
}

void AddEventsOfLetter(std::string_view topic, const std::string& payload, v1::DeadLetter& letter) {
  if (topic == "events") {
    AddBatch(payload, letter.key(), letter);
  } else if (topic == "hits") {
    internal::v1::HitBatch batch;
    if (!Unpack(payload, batch).ok()) return;
    const auto block = BlockOf(batch).value_or(internal::v1::EvidenceBlock());
    for (auto& hit : *batch.mutable_hits()) {
      if (letter.events_size() == kMaxEvents) break;
      InlineEvidence(block, hit);
      AddEvidence(hit.evidence(), batch.tenant(), letter);
    }
  } else if (topic != "coverage") {
    v1::Finding finding;
    if (!finding.ParseFromString(payload)) return;
    AddEvidence(finding.evidence(), store::TenantOf(finding.name()).value_or(""), letter);
  }
}

}  // namespace yagura::detection
