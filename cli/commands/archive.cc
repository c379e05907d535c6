#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <thread>
#include <utility>

#include "cli/commands/command.h"
#include "cli/commands/event_range.h"
#include "cli/export/event_export.h"
#include "cli/time_range.h"
#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/json/message_json.h"
#include "common/text/text.h"
#include "yagura/archive/v1/archive_service.grpc.pb.h"
#include "yagura/archive/v1/legal_hold_service.grpc.pb.h"
#include "yagura/archive/v1/proof_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using archive::v1::ArchiveService;
using archive::v1::LegalHoldService;
using archive::v1::ProofService;

void AddHoldCreate(Program& program, CLI::App& group) {
  struct Options {
    std::string tenant;
    std::string reason;
    std::string from;
    std::string to;
    std::string id;
  };
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand(
      "create", "Keep the events of a tenant and range until the hold is released");
  command.add_option("--tenant", options->tenant, "Tenant id")->required();
  command.add_option("--reason", options->reason, "Why: a case number, who asked for it")
      ->required();
  command.add_option("--from,--since", options->from, "Received since: a time, or 24h, 30d ago")
      ->required();
  command.add_option("--to,--until", options->to, "Received before; without it, without end");
  command.add_option("--id", options->id, "Id of the hold; by default one is made");
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    const TimePoint now = SystemClock()->Now();
    archive::v1::CreateLegalHoldRequest request;
    request.set_parent(TenantParent(options->tenant));
    request.set_legal_hold_id(options->id);
    auto& hold = *request.mutable_legal_hold();
    hold.set_reason(options->reason);
    YAGURA_ASSIGN_OR_RETURN(const auto from, ParseWhen(options->from, now));
    *hold.mutable_start_time() = ToProto(from);
    if (!options->to.empty()) {
      YAGURA_ASSIGN_OR_RETURN(const auto to, ParseWhen(options->to, now));
      *hold.mutable_end_time() = ToProto(to);
    }
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(const auto created,
                            client.Call(&LegalHoldService::Stub::CreateLegalHold, request));
    program.Print(created);
    return absl::OkStatus();
  });
}

void AddHold(Program& program, CLI::App& group) {
  CLI::App& hold =
      *group.add_subcommand("hold", "Legal holds: what is kept whatever retention says");
  hold.require_subcommand(1);
  AddHoldCreate(program, hold);
  AddList(program, hold, "Holds, the latest first; released ones too",
          {{"STATE", "state"},
           {"FROM", "start_time"},
           {"TO", "end_time"},
           {"REASON", "reason", 40},
           {"CREATED BY", "created_by", 50},
           {"IN FORCE SINCE", "applied_time"},
           {"RELEASED", "release_time"},
           {"NAME", "name", 80}},
          &LegalHoldService::Stub::ListLegalHolds);
  AddNamed(program, hold, "get", "One hold", "legalHolds", {},
           &LegalHoldService::Stub::GetLegalHold);
  AddNamed(program, hold, "release", "End a hold: retention deletes again what no other hold keeps",
           "legalHolds", {{"reason", "Why it may end", true}},
           &LegalHoldService::Stub::ReleaseLegalHold);
}

struct ExportOptions {
  std::string tenant;
  std::string filter;
  std::string from;
  std::string to = "now";
  std::string dir;
  uint64_t part_megabytes = 256;
  int patience_seconds = 60;
};

// How far an export is, on standard error: in place where that is a terminal.
class ExportProgress {
 public:
  ~ExportProgress() {
    if (shown_) std::cerr << "\n";
  }
  void Show(const EventExport& files, uint64_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (isatty(STDERR_FILENO) == 0 || now - last_ < std::chrono::seconds(1)) return;
    constexpr double kMega = 1e6;
    last_ = now;
    shown_ = true;
    std::cerr << fmt::format("\r\x1b[K{} of {} events, {:.1f} MB, up to {}", files.events(), total,
                             static_cast<double>(files.text_bytes()) / kMega,
                             files.last_receive_time())
              << std::flush;
  }

 private:
  std::chrono::steady_clock::time_point last_{};
  bool shown_ = false;
};

absl::StatusOr<ExportQuestion> QuestionOf(const ExportOptions& options) {
  const TimePoint now = SystemClock()->Now();
  YAGURA_ASSIGN_OR_RETURN(const auto from, ParseWhen(options.from, now));
  YAGURA_ASSIGN_OR_RETURN(const auto to, ParseWhen(options.to, now));
  ExportQuestion question{TenantParent(options.tenant), options.filter, FormatTime(from),
                          FormatTime(to)};
  // What is given by how long ago stays what it was when the export began.
  const auto unfinished = EventExport::Unfinished(options.dir);
  if (!unfinished.ok()) return question;
  const auto is_relative = [&](const std::string& text) {
    return text == "now" || ParseSpan(text).ok();
  };
  if (is_relative(options.from)) question.start_time = unfinished->start_time;
  if (is_relative(options.to)) question.end_time = unfinished->end_time;
  return question;
}

template <typename Request>
absl::Status FillQuestion(const ExportQuestion& question, Request& request) {
  request.set_parent(question.parent);
  request.set_filter(question.filter);
  YAGURA_ASSIGN_OR_RETURN(const auto start, ParseTime(question.start_time));
  YAGURA_ASSIGN_OR_RETURN(const auto end, ParseTime(question.end_time));
  *request.mutable_range()->mutable_start_time() = ToProto(start);
  *request.mutable_range()->mutable_end_time() = ToProto(end);
  return absl::OkStatus();
}

// Waits, for at most the patience that was asked for, until the store has what was received of the
// question's range by now; in words what it still lacks then, empty where nothing.
absl::StatusOr<std::string> AwaitStored(Client& client, const ExportQuestion& question,
                                        std::chrono::milliseconds patience) {
  constexpr std::chrono::milliseconds kLongestPause{5'000};
  const auto deadline = std::chrono::steady_clock::now() + patience;
  archive::v1::SearchEventsRequest request;  // the least that tells of it
  YAGURA_RETURN_IF_ERROR(FillQuestion(question, request));
  request.clear_filter();
  request.set_page_size(1);
  const TimePoint now = SystemClock()->Now();
  if (FromProto(request.range().end_time()) > now) {
    *request.mutable_range()->mutable_end_time() = ToProto(now);
  }
  if (FromProto(request.range().start_time()) >= now) return std::string();
  bool told = false;
  for (std::chrono::milliseconds pause(250);; pause = std::min(2 * pause, kLongestPause)) {
    archive::v1::PendingEvents pending;
    YAGURA_RETURN_IF_ERROR(
        client.ReadStream(&ArchiveService::Stub::SearchEvents, request, false,
                          [&](const archive::v1::SearchEventsResponse& response) {
                            if (response.has_coverage()) pending = response.coverage().pending();
                            return true;
                          }));
    if (!pending.unknown() && !pending.has_oldest_receive_time()) return std::string();
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      return pending.unknown()
                 ? std::string(
                       "whether all that was received before the export began "
                       "was stored is not known")
                 : fmt::format(
                       "not all that was received from {} to {} was stored "
                       "when the export began",
                       FormatTime(FromProto(pending.oldest_receive_time())), FormatTime(now));
    }
    if (!std::exchange(told, true)) {
      std::cerr << "waits until what was received by now is stored\n";
    }
    std::this_thread::sleep_for(std::min(pause, left));
  }
}

absl::Status ReadAll(Client& client, const ExportQuestion& question, uint64_t total,
                     EventExport& files) {
  archive::v1::ExportEventsRequest request;
  YAGURA_RETURN_IF_ERROR(FillQuestion(question, request));
  request.set_page_token(files.page_token());
  ExportProgress progress;
  do {
    std::string next;
    absl::Status written;
    const absl::Status read =
        client.ReadStream(&ArchiveService::Stub::ExportEvents, request, false,
                          [&](const archive::v1::SearchEventsResponse& response) {
                            for (const auto& event : response.events()) {
                              written.Update(files.Add(event));
                              if (!written.ok()) return false;
                            }
                            next = response.next_page_token();
                            if (!next.empty() && response.events_size() > 0)
                              written.Update(files.Reached(next));
                            progress.Show(files, total);
                            return written.ok();
                          });
    YAGURA_RETURN_IF_ERROR(written);
    YAGURA_RETURN_IF_ERROR(read);
    request.set_page_token(next);
  } while (!request.page_token().empty());
  return absl::OkStatus();
}

// The signed ends of the days' chains, for the manifest; none where they cannot be had.
std::string HeadsJson(Client& client, const ExportQuestion& question) {
  constexpr size_t kDay = 10;
  archive::v1::ListEventHeadsRequest request;
  request.set_parent(question.parent);
  request.set_first_day(question.start_time.substr(0, kDay));
  request.set_last_day(question.end_time.substr(0, kDay));
  const auto response = client.Call(&ProofService::Stub::ListEventHeads, request);
  std::vector<std::string> heads;
  if (response.ok()) {
    for (const auto& head : response->heads()) heads.push_back(MessageToJson(head));
  }
  return fmt::format("\"day_heads\":[{}]", Join(heads, ",\n"));
}

// Whether the same again may well succeed.
bool MayGoOn(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kUnimplemented:
      return false;
    default:
      return true;
  }
}

absl::Status Export(Client& client, const ExportOptions& options) {
  YAGURA_ASSIGN_OR_RETURN(const ExportQuestion question, QuestionOf(options));
  YAGURA_ASSIGN_OR_RETURN(
      const std::string lacks,
      AwaitStored(client, question, std::chrono::seconds(options.patience_seconds)));
  archive::v1::CountEventsRequest count;
  YAGURA_RETURN_IF_ERROR(FillQuestion(question, count));
  YAGURA_ASSIGN_OR_RETURN(const auto counted,
                          client.Call(&ArchiveService::Stub::CountEvents, count));
  YAGURA_ASSIGN_OR_RETURN(EventExport files, EventExport::Open(options.dir, question,
                                                               options.part_megabytes * 1'000'000));
  if (!files.dropped().empty()) {
    std::cerr << fmt::format("{} is not there as it was written: all from {} on is written anew\n",
                             files.altered().empty() ? files.dropped().front() : files.altered(),
                             files.dropped().front());
  }
  if (files.events() > 0) {
    std::cerr << fmt::format("goes on behind {} events\n", files.events());
  }
  if (!lacks.empty()) YAGURA_RETURN_IF_ERROR(files.Remark(lacks));
  if (const absl::Status read = ReadAll(client, question, counted.total(), files); !read.ok()) {
    return MayGoOn(read) ? Annotate(read, "the same command goes on where the export broke off")
                         : read;
  }
  YAGURA_RETURN_IF_ERROR(files.Finish(
      fmt::format("\"coverage\":{},{},\"exported_at\":\"{}\"", MessageToJson(counted.coverage()),
                  HeadsJson(client, question), FormatTime(SystemClock()->Now()))));
  Write(fmt::format("{} events in {} files: {}\n", files.events(), files.parts().size(),
                    EscapeForTerminal(options.dir)));
  std::cerr << CoverageNotes(counted.coverage());
  for (const std::string& remark : files.remarks()) {
    std::cerr << fmt::format("warning: the export is not complete: {}\n",
                             EscapeForTerminal(remark));
  }
  return absl::OkStatus();
}

void AddExport(Program& program, CLI::App& group) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App& command = *group.add_subcommand(
      "export",
      "Events of a period as files with a manifest; the same command again goes on after a break");
  command.add_option("--tenant", options->tenant, "Tenant id")->required();
  command.add_option("--from,--since", options->from, "Received since: a time, or 24h, 30d ago")
      ->required();
  command.add_option("--to,--until", options->to, "Received before")->capture_default_str();
  command.add_option("--dir", options->dir, "Folder: empty, or of the export that broke off")
      ->required();
  command.add_option("filter", options->filter, kFilterHelp);
  command.add_option("--filter", options->filter, kFilterHelp);
  command
      .add_option("--part-megabytes", options->part_megabytes,
                  "Text in one file before it is compressed, about")
      ->check(CLI::Range(uint64_t{1}, uint64_t{100'000}))
      ->capture_default_str();
  command
      .add_option("--patience", options->patience_seconds,
                  "Most seconds to wait until what was received before is stored; after that the "
                  "export begins, and says in its remarks that it is not complete")
      ->check(CLI::Range(0, 3600))
      ->capture_default_str();
  program.DoConnected(command, [options](Client& client) { return Export(client, *options); });
}

// Days of receipt, as a request wants them.
template <typename Request>
absl::Status FillDays(const std::string& from, const std::string& to, Request& request) {
  constexpr size_t kDay = 10;
  const TimePoint now = SystemClock()->Now();
  YAGURA_ASSIGN_OR_RETURN(const auto first, ParseWhen(from, now));
  YAGURA_ASSIGN_OR_RETURN(const auto last, ParseWhen(to, now));
  request.set_first_day(FormatTime(first).substr(0, kDay));
  request.set_last_day(FormatTime(last).substr(0, kDay));
  return absl::OkStatus();
}

const std::vector<TableColumn> kProofs = {{"DAY", "day"},
                                          {"EVENTS VERIFIED", "verified_events"},
                                          {"UNITS", "verified_units"},
                                          {"EXPIRED UNITS", "expired_units"},
                                          {"UNSEALED UNITS", "unsealed_units"},
                                          {"UNPROVEN EVENTS", "unproven_events"},
                                          {"HEAD", "head.hash", 20}};

// Which says that something cannot be verified here, and not that it is at fault.
bool IsLater(const archive::v1::EventFlaw& flaw) {
  return flaw.kind() == archive::v1::EventFlaw::HEAD_LATER;
}

void WriteFlaws(const archive::v1::DayProof& proof) {
  constexpr int kShownIds = 5;  // of a flaw
  for (const auto& flaw : proof.flaws()) {
    if (IsLater(flaw)) continue;
    std::string line =
        fmt::format("! {} {}", proof.day(), archive::v1::EventFlaw::Kind_Name(flaw.kind()));
    if (!flaw.unit().empty()) line += " in unit " + flaw.unit();
    line += ": " + flaw.detail();
    for (int i = 0; i < std::min(flaw.event_ids_size(), kShownIds); ++i) {
      line += (i == 0 ? ": " : " ") + flaw.event_ids(i);
    }
    if (flaw.event_ids_size() > kShownIds) {
      line += fmt::format(" and {} more (-o json names them)", flaw.event_ids_size() - kShownIds);
    }
    Write(EscapeForTerminal(line) + "\n");
  }
}

// Of which nothing can be said here.
void WriteLater(const archive::v1::DayProof& proof) {
  std::vector<std::string> heads;
  for (const uint32_t head : proof.later_heads()) heads.push_back(std::to_string(head));
  Write(fmt::format(
      "! {} made by a later release: heads {}, {} events: neither proven nor at fault\n",
      EscapeForTerminal(proof.day()), Join(heads, " "), proof.later_events()));
}

void AddVerify(Program& program, CLI::App& group) {
  struct Options {
    std::string tenant;
    std::string day;
    std::string from;
    std::string to = "now";
  };
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand(
      "verify", "Whether stored events are those that came: none altered, missing or inserted");
  command.add_option("--tenant", options->tenant, "Tenant id")->required();
  auto* day = command.add_option("--day", options->day, "One day of receipt, UTC: 2026-11-22");
  command.add_option("--from,--since", options->from, "First day: a time, or 24h, 30d ago")
      ->excludes(day);
  command.add_option("--to,--until", options->to, "Last day")->capture_default_str()->excludes(day);
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    archive::v1::VerifyEventsRequest request;
    request.set_parent(TenantParent(options->tenant));
    if (!options->day.empty()) {
      request.set_first_day(options->day);
    } else if (options->from.empty()) {
      return InvalidField("day", "--day or --from must be given");
    } else {
      YAGURA_RETURN_IF_ERROR(FillDays(options->from, options->to, request));
    }
    Renderer renderer(program.format(), kProofs);
    std::vector<archive::v1::DayProof> flawed;
    std::vector<archive::v1::DayProof> later;
    YAGURA_RETURN_IF_ERROR(
        client.ReadStream(&ProofService::Stub::VerifyEvents, request, true,
                          [&](const archive::v1::VerifyEventsResponse& response) {
                            if (!response.done()) return true;
                            renderer.Add(response.proof());
                            const auto& flaws = response.proof().flaws();
                            if (!std::ranges::all_of(flaws, IsLater))
                              flawed.push_back(response.proof());
                            if (response.proof().later_heads_size() > 0)
                              later.push_back(response.proof());
                            return true;
                          }));
    Write(renderer.Finish());
    if (program.format() == Format::kTable) {
      for (const auto& proof : flawed) WriteFlaws(proof);
      for (const auto& proof : later) WriteLater(proof);
    }
    if (flawed.empty() && later.empty()) return absl::OkStatus();
    if (flawed.empty()) {
      return absl::FailedPreconditionError(fmt::format(
          "{} of the days were sealed by a later release (or somebody wrote so): this one cannot "
          "verify all of them",
          later.size()));
    }
    return absl::DataLossError(
        fmt::format("{} of the days are not as they were stored", flawed.size()));
  });
}

}  // namespace

void AddArchiveCommands(Program& program) {
  CLI::App& group = program.Group("archive", "Keep, prove and export what was stored");
  AddHold(program, group);
  AddVerify(program, group);
  AddExport(program, group);
}

}  // namespace yagura::cli
