#include "services/config/drivers/linux_nftables.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "fmt/format.h"

#include "common/blob/blob_store.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/config/drivers/linux_nftables_scripts.h"
#include "services/config/drivers/nft_text.h"

namespace yagura::config {
namespace {

using blob::DigestOf;

// Words become arguments of the device's shell: nothing in them may mean anything to it.
bool IsPlainWord(std::string_view word) {
  return !word.empty() && word.size() <= 200 && std::all_of(word.begin(), word.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
           c == '.' || c == '_' || c == '-';
  });
}

StatusOr<std::string> CommandLine(std::string_view script,
                                  std::initializer_list<std::string> words) {
  std::string line = fmt::format("/bin/sh -c '{}' yagura", script);
  for (const std::string& word : words) {
    if (!IsPlainWord(word)) return Internal("a word for the device's shell is not plain");
    line += ' ';
    line += word;
  }
  return line;
}

Status Refused(std::string_view reason, std::string_view message) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reason, message);
}

// What the device said, for people: bounded, and without surprises for terminals.
std::string Said(const ExecResult& result) {
  std::string_view text = Trim(result.errors.empty() ? result.output : result.errors);
  return EscapeForTerminal(ToValidUtf8(text.substr(0, 2000)));
}

Status ExitError(const ExecResult& result) {
  switch (result.exit_status) {
    case 0:
      return absl::OkStatus();
    case nft::kExitArmed:
      return Refused("ALREADY_ARMED", "the device is working on this change already");
    case nft::kExitChanged:
      return Refused("DEVICE_CHANGED", "the device no longer runs what the change was made for");
    case nft::kExitNotRestorable:
      return Refused("NOT_RESTORABLE",
                     "the device could not load again what it runs now: " + Said(result));
    case nft::kExitInvalid:
      return Refused("CANDIDATE_INVALID", "the device refuses the candidate: " + Said(result));
    case nft::kExitTransfer:
      return Unavailable("TRANSFER_DAMAGED", "the candidate did not arrive whole");
    case nft::kExitTimer:
      return Refused("TIMER_NOT_ARMED", "the device's timer did not start; nothing was loaded");
    default:
      return Refused("DEVICE_COMMAND_FAILED",
                     fmt::format("the device ended with exit status {}: {}", result.exit_status,
                                 Said(result)));
  }
}

StatusOr<ExecResult> RunScript(DeviceSession& session, std::string_view script,
                               std::initializer_list<std::string> words, std::string_view input,
                               const Patience& patience) {
  YAGURA_ASSIGN_OR_RETURN(std::string command, CommandLine(script, words));
  YAGURA_ASSIGN_OR_RETURN(ExecResult result,
                          session.Exec({.command = std::move(command), .input = input}, patience));
  YAGURA_RETURN_IF_ERROR(ExitError(result));
  return result;
}

JobState::Verdict ParseVerdict(std::string_view word) {
  if (word == "confirmed") return JobState::Verdict::kConfirmed;
  if (word == "reverted") return JobState::Verdict::kReverted;
  if (word == "notloaded") return JobState::Verdict::kNotLoaded;
  return JobState::Verdict::kNone;
}

JobState ParseJobState(std::string_view output) {
  JobState state;
  while (!output.empty()) {
    const size_t end = std::min(output.find('\n'), output.size());
    const std::string_view line = output.substr(0, end);
    output.remove_prefix(std::min(end + 1, output.size()));
    const size_t space = std::min(line.find(' '), line.size());
    const std::string_view key = line.substr(0, space);
    const std::string_view value = line.substr(std::min(space + 1, line.size()));
    if (key == "present") state.present = true;
    if (key == "armed") state.armed = true;
    if (key == "verdict") state.verdict = ParseVerdict(value);
    if (key == "load") state.load_exit = ParseNumber<int>(value);
    if (key == "loaded") state.loaded_digest = value;
    if (key == "restore") state.restore_exit = ParseNumber<int>(value);
    if (key == "log") {
      state.log = ToValidUtf8(output);
      break;
    }
  }
  return state;
}

// Whether a statement of the text begins with `keyword`. Comments and quoted texts do not count.
bool HasStatement(std::string_view text, std::string_view keyword) {
  bool at_start = true;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '#') {
      i = std::min(text.find('\n', i), text.size());
    } else if (c == '"') {
      i = std::min(text.find('"', i + 1), text.size() - 1) + 1;
      at_start = false;
    } else if (c == '\n' || c == ';' || c == '{' || c == '}') {
      at_start = true;
      ++i;
    } else if (c == ' ' || c == '\t' || c == '\r') {
      ++i;
    } else {
      size_t end = i;
      while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) != 0 ||
                                   text[end] == '_' || text[end] == '-')) {
        ++end;
      }
      if (at_start && text.substr(i, end - i) == keyword) return true;
      at_start = false;
      i = std::max(end, i + 1);
    }
  }
  return false;
}

class LinuxNftables final : public Driver {
 public:
  std::string_view platform() const override { return "linux.nftables"; }

  Status CheckCandidate(std::string_view text) const override {
    if (text.find('\0') != std::string_view::npos || !IsValidUtf8(text)) {
      return InvalidField("candidate", "must be UTF-8 text");
    }
    if (Trim(text).empty()) return InvalidField("candidate", "must not be empty");
    // What an included file says is not what was approved.
    if (HasStatement(text, "include")) {
      return InvalidField("candidate", "must be complete: include is not allowed");
    }
    return absl::OkStatus();
  }

  std::optional<std::string> Normal(std::string_view text) const override {
    return NormalNftText(text);
  }

  StatusOr<RunningConfiguration> Fetch(DeviceSession& session,
                                       const Patience& patience) const override {
    YAGURA_ASSIGN_OR_RETURN(ExecResult listing, RunScript(session, nft::kFetch, {}, {}, patience));
    YAGURA_ASSIGN_OR_RETURN(const ExecResult version,
                            RunScript(session, nft::kVersion, {}, {}, patience));
    std::string line = ToValidUtf8(Trim(version.output).substr(0, 200));
    std::replace(line.begin(), line.end(), '\n', ',');
    return RunningConfiguration{std::move(listing.output), std::move(line)};
  }

  Status Prepare(DeviceSession& session, const ApplyJob& job,
                 const Patience& patience) const override {
    const std::string file = NftLoadFile(job.candidate_text);
    return RunScript(session, nft::kPrepare, {job.id, DigestOf(file), DigestOf(job.base_text)},
                     file, patience)
        .status();
  }

  Status ArmAndLoad(DeviceSession& session, const ApplyJob& job,
                    const Patience& patience) const override {
    return RunScript(session, nft::kArmAndLoad,
                     {job.id, std::to_string(job.dead_man.count()), DigestOf(job.base_text)}, {},
                     patience)
        .status();
  }

  StatusOr<JobState> Inspect(DeviceSession& session, const std::string& job_id,
                             const Patience& patience) const override {
    YAGURA_ASSIGN_OR_RETURN(const ExecResult result,
                            RunScript(session, nft::kInspect, {job_id}, {}, patience));
    return ParseJobState(result.output);
  }

  StatusOr<JobState::Verdict> Confirm(DeviceSession& session, const std::string& job_id,
                                      const Patience& patience) const override {
    YAGURA_ASSIGN_OR_RETURN(const ExecResult result,
                            RunScript(session, nft::kConfirm, {job_id}, {}, patience));
    return ParseVerdict(Trim(result.output));
  }

  StatusOr<bool> Abandon(DeviceSession& session, const std::string& job_id,
                         const Patience& patience) const override {
    const Status status = RunScript(session, nft::kAbandon, {job_id}, {}, patience).status();
    if (ErrorReason(status) == "ALREADY_ARMED") return false;
    if (!status.ok()) return status;
    return true;
  }

  Status Restore(DeviceSession& session, const std::string& job_id,
                 const Patience& patience) const override {
    return RunScript(session, nft::kRestore, {job_id}, {}, patience).status();
  }

  Status Persist(DeviceSession& session, const std::string& path, std::string_view candidate_text,
                 const Patience& patience) const override {
    YAGURA_RETURN_IF_ERROR(CheckDevicePath("device.startup_path", path));
    const std::string file = "#!/usr/sbin/nft -f\n" + NftLoadFile(candidate_text);
    return RunScript(session, nft::kPersist, {"-", path, DigestOf(file)}, file, patience).status();
  }

  Status Forget(DeviceSession& session, const std::string& job_id,
                const Patience& patience) const override {
    return RunScript(session, nft::kForget, {job_id}, {}, patience).status();
  }
};

}  // namespace

std::unique_ptr<Driver> NewLinuxNftablesDriver() { return std::make_unique<LinuxNftables>(); }

std::string NftLoadFile(std::string_view candidate) {
  std::string file = "flush ruleset\n";
  file += candidate;
  if (!file.ends_with('\n')) file += '\n';
  return file;
}

}  // namespace yagura::config
