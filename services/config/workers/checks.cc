#include "services/config/workers/checks.h"

#include <unistd.h>

#include <algorithm>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/characters.h"
#include "common/text/text.h"
#include "services/config/transport/tcp.h"

namespace yagura::config {
namespace {

constexpr std::chrono::milliseconds kTcpWait{2'000};
constexpr size_t kMaxDetail = 1000;

bool HasLine(std::string_view text, std::string_view wanted) {
  const auto lines = Split(text, '\n');
  return std::any_of(lines.begin(), lines.end(),
                     [&](std::string_view line) { return Trim(line) == Trim(wanted); });
}

void CheckLine(std::string_view line, bool expected, std::string_view running,
               v1::CheckResult& result) {
  const bool found = HasLine(running, line);
  result.set_passed(found == expected);
  result.set_detail(found ? "the line is there" : "the line is not there");
  if (result.title().empty()) {
    result.set_title(fmt::format("{}: {}", expected ? "contains" : "lacks", line));
  }
}

void CheckTcp(const v1::TcpTarget& target, bool expected, const Patience& patience,
              v1::CheckResult& result) {
  const StatusOr<int> fd =
      OpenTcp(target.address(), target.port(), patience.AtMost(kTcpWait), kTcpWait);
  if (fd.ok()) close(*fd);
  result.set_passed(fd.ok() == expected);
  result.set_detail(fd.ok() ? "opened" : std::string(Message(fd.status())));
  if (result.title().empty()) {
    result.set_title(fmt::format("TCP {} port {} {}", target.address(), target.port(),
                                 expected ? "open" : "closed"));
  }
}

void CheckCommand(const v1::CommandCheck& check, DeviceSession& session, const Patience& patience,
                  v1::CheckResult& result) {
  if (result.title().empty()) result.set_title(fmt::format("command: {}", check.command()));
  const StatusOr<ExecResult> ran = session.Exec({.command = check.command()}, patience);
  if (!ran.ok()) {
    result.set_detail(std::string(Message(ran.status())));
    return;
  }
  const std::string output = ToValidUtf8(ran->output + ran->errors);
  const bool found = output.find(check.output_contains()) != std::string::npos;
  result.set_passed(ran->exit_status == check.exit_status() && found);
  result.set_detail(std::string(
      FirstCharacters(fmt::format("exit status {}: {}", ran->exit_status, output), kMaxDetail)));
}

}  // namespace

v1::CheckResult RunCheck(const v1::Check& check, std::string_view running, DeviceSession& session,
                         const Patience& patience) {
  v1::CheckResult result;
  result.set_title(check.title());
  switch (check.expectation_case()) {
    case v1::Check::kRunningContains:
      CheckLine(check.running_contains(), true, running, result);
      break;
    case v1::Check::kRunningLacks:
      CheckLine(check.running_lacks(), false, running, result);
      break;
    case v1::Check::kTcpOpen:
      CheckTcp(check.tcp_open(), true, patience, result);
      break;
    case v1::Check::kTcpClosed:
      CheckTcp(check.tcp_closed(), false, patience, result);
      break;
    case v1::Check::kCommand:
      CheckCommand(check.command(), session, patience, result);
      break;
    case v1::Check::EXPECTATION_NOT_SET:
      result.set_detail("the check expects nothing");
      break;
  }
  return result;
}

}  // namespace yagura::config
