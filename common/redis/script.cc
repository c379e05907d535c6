#include "common/redis/script.h"

#include <openssl/evp.h>

#include <array>
#include <stdexcept>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::redis {
namespace {

std::string Sha1Hex(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr) != 1) {
    throw std::runtime_error("this OpenSSL has no SHA-1, by which Redis names scripts");
  }
  return HexEncode({reinterpret_cast<const char*>(digest.data()), size});
}

}  // namespace

Script::Script(std::string_view source) : source_(source), sha1_(Sha1Hex(source)) {}

StatusOr<Reply> Script::Run(Connection& connection, const Args& keys, const Args& args) const {
  const std::string key_count = fmt::format("{}", keys.size());
  Args command = {"EVALSHA", sha1_, key_count};
  command.insert(command.end(), keys.begin(), keys.end());
  command.insert(command.end(), args.begin(), args.end());
  StatusOr<Reply> reply = connection.Command(command);
  if (reply.ok() || ErrorReason(reply.status()) != "REDIS_NOSCRIPT") return reply;
  command[0] = "EVAL";
  command[1] = source_;
  return connection.Command(command);
}

std::vector<StatusOr<Reply>> Script::RunAll(Connection& connection,
                                            std::span<const Call> calls) const {
  std::vector<std::string> key_counts;
  key_counts.reserve(calls.size());
  std::vector<Args> commands;
  commands.reserve(calls.size());
  for (const Call& call : calls) {
    key_counts.push_back(fmt::format("{}", call.keys.size()));
    Args& command = commands.emplace_back(Args{"EVALSHA", sha1_, key_counts.back()});
    command.insert(command.end(), call.keys.begin(), call.keys.end());
    command.insert(command.end(), call.args.begin(), call.args.end());
  }
  auto replies = connection.Pipeline(commands);
  for (size_t i = 0; i < calls.size(); ++i) {
    if (replies[i].ok() || ErrorReason(replies[i].status()) != "REDIS_NOSCRIPT") continue;
    replies[i] = Run(connection, calls[i].keys, calls[i].args);
  }
  return replies;
}

}  // namespace yagura::redis
