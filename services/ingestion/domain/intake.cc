#include "services/ingestion/domain/intake.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/event/batch_format.h"
#include "common/text/ascii.h"
#include "services/ingestion/domain/quarantine.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::ingestion {
namespace {

// A lane that was idle for so long gives its memory back.
constexpr auto kLaneIdle = std::chrono::seconds(60);
// What all senders of one intake may have it remember: heads of tables.
constexpr size_t kMemoryBytes = 16 << 20;

}  // namespace

std::string PartitionOf(const SourceTarget* source, std::string_view tenant,
                        std::string_view site) {
  if (source != nullptr) return source->name;
  return site.empty() ? fmt::format("tenants/{}", tenant)
                      : fmt::format("tenants/{}/sites/{}", tenant, site);
}

// Events of one source on their way into a batch.
struct Intake::Lane {
  std::string name;    // the partition
  std::string source;  // name; empty: none
  std::string tenant;
  std::string site;  // of a relay, where there is no source
  uint64_t generation = 0;
  uint64_t sequence = 0;  // of the next batch
  uint64_t digest = 0;    // of the lines that the builder collects
  event::BatchBuilder builder;
  size_t unparsed = 0;
  size_t bytes = 0;
  std::string listener;
  LineStats stats;
  SteadyTime first{};
  SteadyTime last{};
};

Intake::Intake(Options options, std::shared_ptr<Quarantine> quarantine)
    : options_(std::move(options)),
      quarantine_(std::move(quarantine)),
      memory_(std::make_shared<SenderMemoryBudget>(kMemoryBytes)),
      pipeline_(options_.parsers),
      enricher_(options_.enrichment == nullptr ? nullptr
                                               : std::make_unique<Enricher>(options_.enrichment)) {}
Intake::~Intake() = default;

void Intake::Add(SenderState& state, const std::shared_ptr<const SourceMap>& sources,
                 std::string_view line, bool truncated, TimePoint receive_time, SteadyTime now,
                 const LineEnvelope* envelope) {
  if (state.map != sources) {
    state.map = sources;
    state.sources = sources->ForSender(state.sender);
  }
  state.memory.DrawOn(memory_);
  const SourceTarget* expected = Find(state, {}, {});
  LineContext context;
  context.receive_time = receive_time;
  context.origin = state.origin;
  context.truncated = truncated;
  context.likely = &state.likely;
  context.envelope = envelope;
  context.memory = &state.memory;
  if (expected != nullptr) {
    context.zone = expected->zone;
    context.charset = expected->charset;
    context.parser = expected->parser;
  } else if (!state.tenant.empty()) {
    context.zone = sources->ZoneOf(state.tenant);
  }
  if (!state.parser.empty()) context.parser = state.parser;
  ParsedLine* parsed = &pipeline_.Process(line, context);
  const SourceTarget* target = Find(state, parsed->device_serial, parsed->event.virtual_context);
  // The line named its source, which reads it otherwise than was thought.
  if (target != expected && target != nullptr) {
    const std::string_view parser = state.parser.empty() ? target->parser : state.parser;
    if (parser != context.parser || (parsed->zone_used && !(target->zone == context.zone)) ||
        (target->charset != context.charset && !IsAscii(line))) {
      context.zone = target->zone;
      context.charset = target->charset;
      context.parser = parser;
      parsed = &pipeline_.Process(line, context);
    }
  }
  if (target == nullptr && state.tenant.empty()) {
    const bool refused =
        state.sources.Find(parsed->device_serial, parsed->event.virtual_context) != nullptr;
    quarantine_->Note(state.sender, *parsed, refused, receive_time);
  }

  Lane& lane = LaneFor(target, state);
  if (lane.builder.size() == 0) {
    lane.first = now;
    lane.digest = 0;
    lane.builder.Reset({lane.tenant, {}, receive_time});
    lane.listener = state.sender.listener;
  }
  lane.last = now;
  lane.digest = event::HashBytes(line, lane.digest);
  lane.bytes += parsed->event.raw.size();
  lane.unparsed += parsed->event.flaws >> event::v1::UNPARSED & 1;
  lane.stats.Note(parsed->event);
  if (target != nullptr) {
    parsed->event.site = target->site;
    parsed->event.device = target->device;
  } else {
    parsed->event.site = state.sender.site;
  }
  if (enricher_ != nullptr && lane.tenant != kQuarantineTenant) {
    enricher_->Enrich(lane.tenant, &parsed->event);
  }
  lane.builder.Add(parsed->event);
  // Raw bytes decide, not what parsing makes of them: cuts do not move with parsers.
  if (lane.bytes >= options_.batch_bytes || lane.builder.full()) Flush(lane);
}

const SourceTarget* Intake::Find(const SenderState& state, std::string_view serial,
                                 std::string_view virtual_context) {
  const SourceTarget* target = state.sources.Find(serial, virtual_context, state.tenant);
  if (target != nullptr && state.may_write && !state.may_write(target->tenant)) return nullptr;
  return target;
}

Intake::Lane& Intake::LaneFor(const SourceTarget* target, const SenderState& state) {
  const std::string_view source = target == nullptr ? std::string_view{} : target->name;
  const std::string_view tenant = target != nullptr       ? std::string_view(target->tenant)
                                  : !state.tenant.empty() ? std::string_view(state.tenant)
                                                          : kQuarantineTenant;
  const std::string_view site = target == nullptr ? state.sender.site : std::string_view{};
  if (last_lane_ != nullptr && last_lane_->source == source && last_lane_->tenant == tenant &&
      last_lane_->site == site) {
    return *last_lane_;
  }
  const std::string name = PartitionOf(target, tenant, site);
  auto& lane = lanes_[name];
  if (lane == nullptr) {
    lane = std::make_unique<Lane>();
    lane->name = name;
    lane->source = source;
    lane->tenant = tenant;
    lane->site = site;
    lane->generation = generation_;
  }
  last_lane_ = lane.get();
  return *last_lane_;
}

void Intake::Begin(std::string instance) {
  options_.instance = std::move(instance);
  generation_ = 0;
  for (auto& [name, lane] : lanes_) {
    lane->generation = 0;
    lane->sequence = 0;
  }
}

void Intake::Flush(Lane& lane) {
  ReadyBatch batch;
  batch.partition = lane.name;
  batch.tenant = lane.tenant;
  batch.source = lane.source;
  batch.events = lane.builder.size();
  batch.unparsed = lane.unparsed;
  batch.bytes = lane.bytes;
  batch.listener = lane.listener;
  batch.stats = std::exchange(lane.stats, {});
  // The lane's name has the site of unknown senders, which it had not in an earlier release: what
  // was cut off in the middle then, and is sent again, is kept twice in part. Without the site, the
  // same lines of two sites under one batch id would be one, and those of the second lost.
  batch.key = event::BatchIdOf({options_.instance, lane.name, std::to_string(lane.generation),
                                std::to_string(lane.sequence++), std::to_string(lane.digest)});
  lane.builder.SetBatchId(batch.key);
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
      ++generation_;
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
