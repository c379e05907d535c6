#include "services/ingestion/domain/intake.h"

#include <algorithm>

#include "fmt/format.h"

#include "services/ingestion/domain/quarantine.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::ingestion {
namespace {

// A lane that was idle for so long gives its memory back.
constexpr auto kLaneIdle = std::chrono::seconds(60);

}  // namespace

// Events of one source on their way into a batch.
struct Intake::Lane {
  std::string source;  // name; empty: quarantine
  std::string tenant;
  std::string batch_id;  // of the batch that the builder collects
  event::BatchBuilder builder;
  size_t unparsed = 0;
  size_t bytes = 0;
  SteadyTime first{};
  SteadyTime last{};
};

Intake::Intake(Options options, std::shared_ptr<Quarantine> quarantine)
    : options_(std::move(options)), quarantine_(std::move(quarantine)) {}
Intake::~Intake() = default;

void Intake::Add(SenderState& state, const std::shared_ptr<const SourceMap>& sources,
                 std::string_view line, bool truncated, TimePoint receive_time, SteadyTime now) {
  if (state.map != sources) {
    state.map = sources;
    state.sources = sources->ForSender(state.sender);
  }
  const SourceTarget* expected = state.sources.BeforeReading();
  LineContext context;
  context.receive_time = receive_time;
  context.origin = state.origin;
  context.truncated = truncated;
  context.likely = &state.likely;
  if (expected != nullptr) {
    context.zone = expected->zone;
    context.parser = expected->parser;
  }
  ParsedLine* parsed = &pipeline_.Process(line, context);
  const SourceTarget* target =
      state.sources.Find(parsed->device_serial, parsed->event.virtual_context);
  // The line named its source, which reads it otherwise than was thought.
  if (target != expected && target != nullptr &&
      (target->parser != context.parser ||
       (parsed->zone_used && !(target->zone == context.zone)))) {
    context.zone = target->zone;
    context.parser = target->parser;
    parsed = &pipeline_.Process(line, context);
  }
  if (target == nullptr) quarantine_->Note(state.sender, *parsed, receive_time);

  Lane& lane = LaneFor(target);
  if (lane.builder.size() == 0) {
    lane.first = now;
    lane.batch_id = event::BatchIdOf({options_.instance, std::to_string(sequence_++)});
    lane.builder.Reset({lane.tenant, lane.batch_id, receive_time});
  }
  lane.last = now;
  lane.bytes += parsed->event.raw.size();
  lane.unparsed += parsed->event.flaws >> event::v1::UNPARSED & 1;
  if (target != nullptr) {
    parsed->event.site = target->site;
    parsed->event.device = target->device;
  }
  lane.builder.Add(parsed->event);
  // Raw bytes decide, not what parsing makes of them: cuts do not move with parsers.
  if (lane.bytes >= options_.batch_bytes || lane.builder.full()) Flush(lane);
}

Intake::Lane& Intake::LaneFor(const SourceTarget* target) {
  const std::string_view name = target == nullptr ? std::string_view{} : target->name;
  if (last_lane_ != nullptr && last_lane_->source == name) return *last_lane_;
  auto found = lanes_.find(name);
  if (found == lanes_.end()) {
    auto lane = std::make_unique<Lane>();
    lane->source = name;
    lane->tenant = target == nullptr ? kQuarantineTenant : target->tenant;
    found = lanes_.emplace(std::string(name), std::move(lane)).first;
  }
  last_lane_ = found->second.get();
  return *last_lane_;
}

void Intake::Flush(Lane& lane) {
  ReadyBatch batch;
  batch.partition = lane.source.empty() ? fmt::format("{}/", kQuarantineTenant) : lane.source;
  batch.tenant = lane.tenant;
  batch.source = lane.source;
  batch.events = lane.builder.size();
  batch.unparsed = lane.unparsed;
  batch.bytes = lane.bytes;
  batch.key = lane.batch_id;
  batch.payload = lane.builder.Finish();
  lane.unparsed = 0;
  lane.bytes = 0;
  ready_.push_back(std::move(batch));
}

std::vector<ReadyBatch> Intake::TakeReady(SteadyTime now) {
  for (auto at = lanes_.begin(); at != lanes_.end();) {
    Lane& lane = *at->second;
    if (lane.builder.size() > 0 && now - lane.first >= options_.linger) Flush(lane);
    if (lane.builder.size() == 0 && now - lane.last > kLaneIdle) {
      if (last_lane_ == &lane) last_lane_ = nullptr;
      at = lanes_.erase(at);
    } else {
      ++at;
    }
  }
  return std::exchange(ready_, {});
}

std::vector<ReadyBatch> Intake::TakeAll() {
  for (auto& [name, lane] : lanes_) {
    if (lane->builder.size() > 0) Flush(*lane);
  }
  return std::exchange(ready_, {});
}

std::optional<SteadyTime> Intake::NextDue() const {
  std::optional<SteadyTime> due;
  for (const auto& [name, lane] : lanes_) {
    if (lane->builder.size() == 0) continue;
    const SteadyTime time = lane->first + options_.linger;
    if (!due || time < *due) due = time;
  }
  return due;
}

}  // namespace yagura::ingestion
