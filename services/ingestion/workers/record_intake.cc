#include "services/ingestion/workers/record_intake.h"

#include "common/event/batch_codec.h"
#include "common/event/batch_format.h"
#include "common/status/status.h"
#include "services/ingestion/storage/batch_sink.h"
#include "services/ingestion/workers/current_sources.h"

namespace yagura::ingestion {
namespace {

constexpr size_t kMaxFree = 16;

// Who it is whatever way it comes: its key; else the sources that know it by a name of its
// certificate, whichever certificate has that by now; else the certificate. No one of these is ever
// like another one.
std::string IdentityOf(const Sender& sender, const SourceMap& sources) {
  if (!sender.credential.empty() || sender.certificates.empty()) {
    return event::BatchIdOf({"key", sender.credential});
  }
  const auto names = sources.SourcesByCertificateName(sender);
  if (names.empty()) return event::BatchIdOf({"certificate", sender.certificates.front()});
  std::vector<std::string_view> parts = {"sources"};
  parts.insert(parts.end(), names.begin(), names.end());
  return event::BatchIdOf(parts);
}

// With or without TLS, a repeat is one.
std::string_view WayOf(const Sender& sender) {
  return sender.listener == "https" ? std::string_view("http") : sender.listener;
}

}  // namespace

std::unique_ptr<Intake> RecordIntake::Borrow() {
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      auto intake = std::move(free_.back());
      free_.pop_back();
      return intake;
    }
  }
  return std::make_unique<Intake>(parts_.intake, parts_.quarantine);
}

void RecordIntake::Return(std::unique_ptr<Intake> intake) {
  const std::lock_guard lock(mutex_);
  if (free_.size() < kMaxFree) free_.push_back(std::move(intake));
}

Status RecordIntake::Take(const RecordSender& from, const std::vector<Record>& records) {
  return Take(from, [&](const Adder& add) {
    LineEnvelope envelope;
    for (const Record& record : records) {
      envelope.event_time = record.event_time;
      envelope.host = record.host.empty() ? from.host : record.host;
      envelope.program = record.program;
      envelope.severity = record.severity;
      envelope.is_text = record.is_text;
      envelope.fields.clear();
      for (const auto& [name, value] : record.fields) envelope.fields.push_back({name, value});
      for (const auto& [name, value] : from.fields) envelope.fields.push_back({name, value});
      add(record.line, envelope, record.truncated);
    }
    return absl::OkStatus();
  });
}

Status RecordIntake::Take(const RecordSender& from,
                          const std::function<Status(const Adder& add)>& read) {
  const auto sources = parts_.sources->Get();
  if (sources == nullptr) {
    return Unavailable("SOURCES_UNKNOWN", "the sources of the directory are not loaded yet");
  }
  SenderState state(from.sender);
  state.origin = from.origin;
  state.tenant = from.tenant;
  state.may_write = from.may_write;
  auto intake = Borrow();
  std::string request;  // empty: it is never known again
  if (from.batch_id.empty()) {
    const std::lock_guard lock(mutex_);
    intake->Begin(
        event::BatchIdOf({parts_.instance, from.sender.listener, std::to_string(requests_++)}));
  } else {
    // The same for every repeat, so that the streams know it again; the lines become part of it.
    request = event::BatchIdOf({WayOf(from.sender), IdentityOf(from.sender, *sources), from.tenant,
                                from.batch_id, std::to_string(from.content)});
    intake->Begin(request);
  }
  const TimePoint receive_time = parts_.clock->Now();
  uint64_t digest = 0;
  // Where this fails, what the intake has by then goes with it.
  YAGURA_RETURN_IF_ERROR(
      read([&](std::string_view line, const LineEnvelope& envelope, bool truncated) {
        digest = event::HashBytes(line, digest);
        intake->Add(state, sources, line, truncated, receive_time, {}, &envelope);
      }));
  const std::vector<ReadyBatch> batches = intake->TakeAll();
  state.memory.Clear();  // another thread has the intake next, and its budget
  Return(std::move(intake));
  if (!request.empty()) request = event::BatchIdOf({request, std::to_string(digest)});
  return parts_.sink->Append(batches, nullptr, request);
}

}  // namespace yagura::ingestion
