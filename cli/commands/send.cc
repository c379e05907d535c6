#include <sodium.h>

#include <algorithm>
#include <iostream>
#include <thread>

#include "cli/commands/command.h"
#include "cli/data_dir.h"
#include "cli/send/line_source.h"
#include "cli/send/progress.h"
#include "cli/send/pusher.h"
#include "cli/send/syslog_sender.h"
#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/text/text.h"

namespace yagura::cli {
namespace {

constexpr size_t kBatchLines = 500;
constexpr size_t kBatchBytes = 64 * 1024;

struct SendOptions {
  std::vector<std::string> files;
  std::string to = "syslog-tcp";
  std::string address;
  std::string tenant;
  std::string parser;
  std::string source;
  std::string batch_prefix;
  double rate = 0;
  int repeat = 1;
};

// Spreads lines evenly over time; 0 lines a second is no limit.
class Pace {
 public:
  explicit Pace(double lines_per_second)
      : lines_per_second_(lines_per_second), start_(std::chrono::steady_clock::now()) {}
  void Await() {
    if (lines_per_second_ <= 0) return;
    std::this_thread::sleep_until(
        start_ +
        std::chrono::duration_cast<std::chrono::steady_clock::duration>(
            std::chrono::duration<double>(static_cast<double>(sent_++) / lines_per_second_)));
  }

 private:
  const double lines_per_second_;
  const std::chrono::steady_clock::time_point start_;
  uint64_t sent_ = 0;
};

absl::StatusOr<std::string> SyslogAddress(const Program& program, const SendOptions& options) {
  if (!options.address.empty()) return options.address;
  const bool tcp = options.to == "syslog-tcp";
  std::string data_dir = program.globals().connection.data_dir;
  if (data_dir.empty() && std::getenv("YAGURA_DATA_DIR") != nullptr) {
    data_dir = std::getenv("YAGURA_DATA_DIR");
  }
  if (data_dir.empty()) return std::string("127.0.0.1:5514");
  YAGURA_ASSIGN_OR_RETURN(const auto endpoints, ReadEndpoints(data_dir));
  const auto at = endpoints.find(tcp ? "syslog_tcp" : "syslog_udp");
  if (at == endpoints.end()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NO_ENDPOINT",
                     "the suite of that data folder does not listen for syslog");
  }
  return at->second;
}

absl::Status SendSyslog(const Program& program, const SendOptions& options, LineSource& lines,
                        Progress& progress) {
  YAGURA_ASSIGN_OR_RETURN(const auto address, SyslogAddress(program, options));
  YAGURA_ASSIGN_OR_RETURN(auto sender, SyslogSender::Connect(address, options.to == "syslog-tcp"));
  Pace pace(options.rate);
  for (std::string line; lines.Next(line);) {
    pace.Await();
    YAGURA_RETURN_IF_ERROR(sender.Send(line));
    progress.Add(1, line.size() + 1);
  }
  return sender.Finish();
}

absl::Status SendGrpc(Client& client, const SendOptions& options, LineSource& lines,
                      Progress& progress) {
  std::string prefix = options.batch_prefix;
  if (prefix.empty()) {
    std::string random(12, '\0');
    randombytes_buf(random.data(), random.size());
    prefix = HexEncode(random);
  }
  Pusher pusher(client, {},
                [&progress](uint64_t count, uint64_t bytes) { progress.Add(count, bytes); });
  Pace pace(options.rate);
  uint64_t number = 0;
  size_t bytes = 0;
  ingestion::v1::PushRequest batch;
  const auto flush = [&]() -> absl::Status {
    if (batch.lines().empty()) return absl::OkStatus();
    batch.set_parent(TenantParent(options.tenant));
    batch.set_batch_id(fmt::format("{}-{}", prefix, number++));
    batch.set_parser(options.parser);
    batch.set_source(options.source);
    *batch.mutable_send_time() = ToProto(SystemClock()->Now());
    bytes = 0;
    return pusher.Send(std::exchange(batch, {}));
  };
  for (std::string line; lines.Next(line);) {
    pace.Await();
    bytes += line.size();
    batch.add_lines(std::move(line));
    if (static_cast<size_t>(batch.lines_size()) >= kBatchLines || bytes >= kBatchBytes) {
      YAGURA_RETURN_IF_ERROR(flush());
    }
  }
  YAGURA_RETURN_IF_ERROR(flush());
  YAGURA_RETURN_IF_ERROR(pusher.Finish());
  if (pusher.postponed() > 0) {
    std::cerr << fmt::format("(asked {} times to send a batch again later)\n", pusher.postponed());
  }
  if (pusher.reconnects() > 0) {
    std::cerr << fmt::format("({} reconnects; what was not acknowledged was sent again)\n",
                             pusher.reconnects());
  }
  return absl::OkStatus();
}

}  // namespace

void AddSendCommand(Program& program) {
  auto options = std::make_shared<SendOptions>();
  CLI::App& command =
      *program.app().add_subcommand("send", "Send log lines of files, as devices do");
  command.add_option("file", options->files, "Files with one line each; - is standard input")
      ->required();
  command.add_option("--to", options->to, "syslog-tcp, syslog-udp or grpc (acknowledged)")
      ->capture_default_str()
      ->check(CLI::IsMember({"syslog-tcp", "syslog-udp", "grpc"}));
  command.add_option("--address", options->address,
                     "HOST:PORT of the syslog listener; else from --data-dir, else 127.0.0.1:5514");
  command.add_option("--tenant", options->tenant,
                     "grpc: whose lines these are; without it the sources of the directory say");
  command.add_option("--parser", options->parser, "grpc: fortigate, syslog, json or auto");
  command.add_option("--source", options->source, "grpc: name for where the lines come from");
  command.add_option("--batch-prefix", options->batch_prefix,
                     "grpc: makes batch ids repeatable: the same files under the same prefix are "
                     "taken once, however often they are sent");
  command.add_option("--rate", options->rate, "Lines a second; 0 is as fast as it goes")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command.add_option("--repeat", options->repeat, "How often to send the whole")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  const auto run = [&program, options](Client* client) -> absl::Status {
    YAGURA_ASSIGN_OR_RETURN(auto lines, LineSource::Open(options->files, options->repeat));
    Progress progress(lines.total_bytes());
    const absl::Status status = client != nullptr ? SendGrpc(*client, *options, lines, progress)
                                                  : SendSyslog(program, *options, lines, progress);
    progress.Clear();
    Write(progress.Summary() + (client != nullptr ? ", all acknowledged\n" : "\n"));
    return status;
  };
  program.DoEither(
      command, [options] { return options->to == "grpc"; },
      [run](Client& client) { return run(&client); }, [run] { return run(nullptr); });
}

}  // namespace yagura::cli
