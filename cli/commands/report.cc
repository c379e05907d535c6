#include <ctime>
#include <fstream>
#include <iostream>

#include "cli/commands/command.h"
#include "fmt/chrono.h"
#include "fmt/format.h"

#include "common/text/text.h"
#include "yagura/reporting/v1/reporting_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using reporting::v1::ReportingService;
using Stub = ReportingService::Stub;

absl::Status Unwritable(const std::string& path) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "FILE_UNWRITABLE",
                   fmt::format("cannot write {}", path));
}

absl::Status Download(Client& client, const std::string& name, reporting::v1::ReportFormat format,
                      const std::string& path) {
  reporting::v1::DownloadReportRequest request;
  request.set_name(name);
  request.set_format(format);
  std::string content;
  YAGURA_RETURN_IF_ERROR(client.ReadStream(&Stub::DownloadReport, request, false,
                                           [&](const reporting::v1::DownloadReportResponse& part) {
                                             content += part.chunk();
                                             return true;
                                           }));
  if (path == "-") {
    Write(content);
    return absl::OkStatus();
  }
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  if (!(file << content) || !file.flush()) {
    return Unwritable(path);
  }
  return absl::OkStatus();
}

// Before a report is made that then cannot be kept. What is there stays as it is.
absl::Status CheckWritable(const std::string& path) {
  if (path.empty() || path == "-" || std::ofstream(path, std::ios::binary | std::ios::app)) {
    return absl::OkStatus();
  }
  return Unwritable(path);
}

std::string ThisMonth() { return fmt::format("{:%Y-%m}", fmt::gmtime(std::time(nullptr))); }

void AddRun(Program& program, CLI::App& group) {
  struct Options {
    std::string tenant;
    std::string month = ThisMonth();
    std::string json;
    std::string html;
  };
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand("run", "Make the report of a month and wait for it");
  command.add_option("--tenant", options->tenant, "Tenant id")->required();
  command.add_option("--month", options->month, "Which month, 2026-10")->capture_default_str();
  command.add_option("--json", options->json, "Write its JSON to this file; - is standard output");
  command.add_option("--html", options->html, "Write its HTML to this file; - is standard output");
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    YAGURA_RETURN_IF_ERROR(CheckWritable(options->json));
    YAGURA_RETURN_IF_ERROR(CheckWritable(options->html));
    reporting::v1::CreateReportRequest request;
    request.set_parent(TenantParent(options->tenant));
    request.set_month(options->month);
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(auto report, client.Call(&Stub::CreateReport, request));
    reporting::v1::WatchReportRequest watch;
    watch.set_name(report.name());
    YAGURA_RETURN_IF_ERROR(client.ReadStream(
        &Stub::WatchReport, watch, true, [&](const reporting::v1::WatchReportResponse& response) {
          report = response.report();
          if (isatty(STDERR_FILENO) != 0) {
            std::cerr << fmt::format("\r\x1b[K{:3.0f} %", report.progress() * 100) << std::flush;
          }
          return report.state() != reporting::v1::READY && report.state() != reporting::v1::FAILED;
        }));
    if (isatty(STDERR_FILENO) != 0) std::cerr << "\r\x1b[K";
    if (report.state() != reporting::v1::READY) {
      return MakeError(absl::StatusCode::kAborted, "REPORT_FAILED", report.error());
    }
    if (!options->json.empty()) {
      YAGURA_RETURN_IF_ERROR(Download(client, report.name(), reporting::v1::JSON, options->json));
    }
    if (!options->html.empty()) {
      YAGURA_RETURN_IF_ERROR(Download(client, report.name(), reporting::v1::HTML, options->html));
    }
    if (options->json != "-" && options->html != "-") program.Print(report);
    return absl::OkStatus();
  });
}

void AddDownload(Program& program, CLI::App& group) {
  struct Options {
    bool html = false;
    std::string file = "-";
  };
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand("download", "A finished report as a file");
  auto named = AddNamedOptions(command, "reports", {}, false);
  command.add_flag("--html", options->html, "HTML instead of JSON");
  command.add_option("--file", options->file, "Where to; - is standard output")
      ->capture_default_str();
  program.DoConnected(command, [named, options](Client& client) {
    return Download(client, ResourceName(named->tenant, "reports", named->resource),
                    options->html ? reporting::v1::HTML : reporting::v1::JSON, options->file);
  });
}

}  // namespace

void AddReportCommands(Program& program) {
  CLI::App& group = program.Group("report", "Monthly reports to customers");
  AddRun(program, group);
  AddList(program, group, "Reports, the latest first",
          {{"TIME", "create_time"},
           {"MONTH", "month"},
           {"STATE", "state"},
           {"PRELIMINARY", "preliminary"},
           {"NAME", "name", 80}},
          &Stub::ListReports);
  AddNamed(program, group, "get", "Where a report stands", "reports", {}, &Stub::GetReport);
  AddDownload(program, group);
}

}  // namespace yagura::cli
