#include <unistd.h>

#include <iostream>
#include <map>

#include "cli/commands/command.h"
#include "cli/detect/rule_files.h"
#include "fmt/format.h"

#include "common/text/characters.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/rule_split.h"
#include "yagura/detection/v1/detection_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using detection::v1::DetectionService;
using detection::v1::ImportResult;

constexpr int kMaxRulesPerCall = 500;
constexpr size_t kMaxBytesPerCall = 2 << 20;
constexpr size_t kMaxSource = 512;  // bytes; what detection keeps of where a rule is from
constexpr size_t kMostNotes = 20;

struct ImportOptions {
  std::string tenant = "provider";
  std::vector<std::string> paths;
  std::string reason;
  bool dry_run = false;
};

std::string IdOf(std::string_view rule) { return std::string(rule.substr(rule.rfind('/') + 1)); }

// Sends rule files in calls of a bearable size, and tells what became of each.
class RuleImport {
 public:
  RuleImport(Client& client, const ImportOptions& options, Format format)
      : client_(client),
        options_(options),
        format_(format),
        renderer_(format, {{"FILE", "source", 70},
                           {"RULE", "rule", 80},
                           {"LINE", "line"},
                           {"REFUSED BECAUSE", "reason", 100}}) {
    Begin();
  }

  absl::Status Run() {
    const absl::Status sent = TakeAll();
    if (isatty(STDERR_FILENO) != 0) std::cerr << "\r\x1b[K";
    if (sent.ok()) return Tell();
    if (loaded_ + refused_ > 0) Tell().IgnoreError();  // what has been done until then
    return sent;
  }

 private:
  absl::Status TakeAll() {
    for (const auto& path : options_.paths) {
      absl::Status failed;  // to send: no more is tried
      const absl::Status read =
          ForEachRuleFile(path, [&](const std::string& source, absl::StatusOr<std::string> text) {
            failed = Take(source, std::move(text));
            return failed;
          });
      YAGURA_RETURN_IF_ERROR(failed);
      if (!read.ok()) Refuse(path, read);  // the others shall not wait for it
    }
    return Send();
  }

  void Begin() {
    request_.Clear();
    expected_.clear();
    bytes_ = 0;
    request_.set_parent(TenantParent(options_.tenant));
    request_.set_validate_only(options_.dry_run);
    request_.set_reason(options_.reason);
    SetRequestId(request_);
  }

  void Refuse(const std::string& source, const absl::Status& status) {
    ImportResult result;
    result.set_source(source);
    result.set_reason(std::string(Message(status)));
    ++refused_;
    renderer_.Add(result);
  }

  absl::Status Take(const std::string& source, absl::StatusOr<std::string> text) {
    ++files_;
    if (!text.ok()) {
      Refuse(source, text.status());
      return absl::OkStatus();
    }
    auto parts = detection::SplitRules(*text);
    const bool is_new =
        std::ranges::none_of(parts, [&](const auto& part) { return sources_.contains(part.id); });
    if (is_new) {
      YAGURA_RETURN_IF_ERROR(Add(source, *std::move(text)));
      expected_.resize(expected_.size() + parts.size());
      return absl::OkStatus();
    }
    for (auto& part : parts) {
      const auto other = sources_.find(part.id);
      if (other == sources_.end()) {
        YAGURA_RETURN_IF_ERROR(Add(source, std::move(part.text)));
        expected_.push_back(std::move(part));
      } else {
        Refuse(source, detection::RefuseSameId(part.id, other->second));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Add(const std::string& path, std::string text) {
    const std::string valid = ToValidUtf8(path);
    const std::string_view source = CharactersWithin(valid, kMaxSource);
    const size_t bytes = source.size() + text.size();
    if (request_.rules_size() >= kMaxRulesPerCall || bytes_ + bytes > kMaxBytesPerCall) {
      YAGURA_RETURN_IF_ERROR(Send());
    }
    bytes_ += bytes;
    auto& rule = *request_.add_rules();
    rule.set_source(std::string(source));
    rule.set_text(std::move(text));
    return absl::OkStatus();
  }

  absl::Status Send() {
    if (request_.rules().empty()) return absl::OkStatus();
    YAGURA_ASSIGN_OR_RETURN(auto response,
                            client_.Call(&DetectionService::Stub::ImportRules, request_));
    // Another release may tell rules apart in another way.
    if (response.results_size() == static_cast<int>(expected_.size())) {
      for (size_t i = 0; i < expected_.size(); ++i) {
        TellByFile(expected_[i], *response.mutable_results(static_cast<int>(i)));
      }
    }
    Begin();
    loaded_ += response.loaded();
    refused_ += response.refused();
    for (const auto& result : response.results()) Note(result);
    if (isatty(STDERR_FILENO) != 0) std::cerr << fmt::format("\r{} files", files_) << std::flush;
    return absl::OkStatus();
  }

  // The line of a part that was sent by itself is to be that of its file.
  static void TellByFile(const detection::RulePart& part, ImportResult& result) {
    if (part.lines.empty() || result.line() == 0) return;
    const absl::Status refused =
        part.InFile(MakeError(absl::StatusCode::kInvalidArgument, "RULE_REFUSED", result.reason(),
                              {{"line", fmt::to_string(result.line())}}));
    result.set_reason(std::string(Message(refused)));
    result.set_line(ParseNumber<int>(GetErrorMetadata(refused)["line"]).value_or(0));
  }

  void Note(const ImportResult& result) {
    if (!result.reason().empty() || format_ != Format::kTable) renderer_.Add(result);
    if (!result.reason().empty()) return;
    sources_.try_emplace(IdOf(result.rule()), result.source());
    ++changes_[result.change()];
    const auto state = result.state();
    if (state != detection::v1::RETIRED && state != detection::v1::DRAFT) return;
    if (++unmatched_ > kMostNotes) return;
    notes_ += fmt::format(
        "note: {} ({}) is {} as before: it is not matched until \"yagura rule set-state\" says "
        "so\n",
        result.rule(), EscapeForTerminal(result.source()), detection::v1::RuleState_Name(state));
  }

  // " (3 new, 2 changed, 7 unchanged)".
  std::string Changes() const {
    const auto count = [this](ImportResult::Change change) {
      const auto found = changes_.find(change);
      return found == changes_.end() ? 0 : found->second;
    };
    if (loaded_ == 0) return {};
    return fmt::format(" ({} new, {} changed, {} unchanged)", count(ImportResult::ADDED),
                       count(ImportResult::CHANGED), count(ImportResult::UNCHANGED));
  }

  absl::Status Tell() {
    if (renderer_.rows() > 0) Write(renderer_.Finish());
    if (format_ == Format::kTable) {
      Write(fmt::format("{} rules {}{}, {} refused\n", loaded_,
                        options_.dry_run ? "would be loaded" : "loaded", Changes(), refused_));
    }
    if (unmatched_ > kMostNotes) {
      notes_ += fmt::format("note: and {} more\n", unmatched_ - kMostNotes);
    }
    std::cerr << notes_;
    return refused_ == 0 ? absl::OkStatus()
                         : MakeError(absl::StatusCode::kAborted, "IMPORT_INCOMPLETE",
                                     fmt::format("{} rules were refused", refused_));
  }

  Client& client_;
  const ImportOptions& options_;
  const Format format_;
  Renderer renderer_;
  detection::v1::ImportRulesRequest request_;
  // Of each result that the request is to have: the part of a file that was sent by itself, without
  // its text; none for those of a whole file.
  std::vector<detection::RulePart> expected_;
  size_t bytes_ = 0;
  int files_ = 0;
  int loaded_ = 0;
  int refused_ = 0;
  std::map<std::string, std::string> sources_;  // of what has been loaded, by id
  std::map<ImportResult::Change, int> changes_;
  size_t unmatched_ = 0;
  std::string notes_;
};

}  // namespace

void AddRuleImport(Program& program) {
  auto options = std::make_shared<ImportOptions>();
  CLI::App& command = *program.Group("rule", "Sigma rules")
                           .add_subcommand("import",
                                           "Load Sigma rules from files, folders and archives; "
                                           "fails where any is refused. A rule that is there gets "
                                           "the new text and stays in its state");
  command
      .add_option(
          "path", options->paths,
          "Files, also with several rules separated by \"---\"; folders with *.yml; archives "
          "of such: .tar, .tar.gz, .tgz, .zip")
      ->required();
  command.add_option("--tenant", options->tenant, "Tenant id; \"provider\" is for all tenants")
      ->capture_default_str();
  command.add_option("--reason", options->reason,
                     "Why, for people: kept with what the import changes");
  command.add_flag("--dry-run", options->dry_run, "Tell what would happen and keep nothing");
  program.DoConnected(command, [&program, options](Client& client) {
    return RuleImport(client, *options, program.format()).Run();
  });
}

}  // namespace yagura::cli
