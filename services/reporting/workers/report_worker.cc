#include "services/reporting/workers/report_worker.h"

#include "common/clock/proto_time.h"
#include "common/json/message_json.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "common/text/text.h"
#include "services/reporting/domain/html.h"
#include "services/reporting/workers/gather.h"

namespace yagura::reporting {
namespace {

constexpr char kQueue[] = "reporting";
constexpr std::chrono::hours kPatience{1};

// Whether the same report may succeed later.
bool MayPass(absl::StatusCode code) {
  return code == absl::StatusCode::kUnavailable || code == absl::StatusCode::kDeadlineExceeded ||
         code == absl::StatusCode::kResourceExhausted || code == absl::StatusCode::kAborted;
}

}  // namespace

ReportWorker::ReportWorker(Parts parts, int threads)
    : parts_(std::move(parts)),
      queue_(parts_.state, kQueue),
      timers_(
          parts_.state, kQueue, {.threads = threads, .instance = parts_.instance}, parts_.clock,
          [this](const timer::Timer& timer) { return Handle(timer.id); }, parts_.logger) {}

absl::Status ReportWorker::Enqueue(const std::string& report) {
  return queue_.Schedule(report, parts_.clock->Now(), "");
}

absl::Status ReportWorker::Handle(const std::string& name) {
  const auto report = parts_.reports->Get(name);
  if (report.status().code() == absl::StatusCode::kNotFound) return absl::OkStatus();
  if (!report.ok()) return report.status();
  if (report->state() == v1::READY || report->state() == v1::FAILED) return absl::OkStatus();
  const absl::Status made = Make(*report);
  if (made.ok()) return made;
  const bool too_late = parts_.clock->Now() - FromProto(report->create_time()) > kPatience;
  parts_.logger.Warning("report not made", {{"report", name}, {"error", Message(made)}});
  if (MayPass(made.code()) && !too_late) return made;
  return Set(name, [&made](v1::Report& failed) {
    failed.set_state(v1::FAILED);
    failed.set_error(std::string(Message(made)));
  });
}

absl::Status ReportWorker::Make(const v1::Report& report) {
  const std::string& name = report.name();
  const std::string tenant(store::TenantOf(name).value_or(""));
  YAGURA_RETURN_IF_ERROR(Set(name, [](v1::Report& r) { r.set_state(v1::RUNNING); }));
  absl::Status shown;
  YAGURA_ASSIGN_OR_RETURN(
      const auto evidence, Gather(*parts_.channels, tenant, report.month(), [&](double progress) {
        shown.Update(Set(name, [progress](v1::Report& r) { r.set_progress(progress); }));
      }));
  YAGURA_RETURN_IF_ERROR(shown);
  const auto content = MakeContent(evidence, parts_.clock->Now());
  YAGURA_ASSIGN_OR_RETURN(const auto json, parts_.files->Put(MessageToJson(content, true)));
  YAGURA_ASSIGN_OR_RETURN(const auto html,
                          parts_.files->Put(RenderHtml(content, evidence.tenant.language())));
  return Set(name, [&](v1::Report& r) {
    r.set_state(v1::READY);
    r.set_progress(1);
    r.clear_error();
    r.set_json_digest(HexDecode(json).value_or(""));
    r.set_html_digest(HexDecode(html).value_or(""));
    r.set_preliminary(content.preliminary());
  });
}

absl::Status ReportWorker::Set(const std::string& name,
                               const std::function<void(v1::Report&)>& change) {
  store::WriteContext context;
  context.principal = "services/reporting";
  context.method = "report-worker";
  return parts_.reports
      ->Mutate(context, name,
               [&change](v1::Report& report) {
                 change(report);
                 return absl::OkStatus();
               })
      .status();
}

}  // namespace yagura::reporting
