#include "common/testing/smtp_server.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "common/testing/patience.h"
#include "common/testing/process.h"
#include "common/text/text.h"

namespace yagura::testing {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "SmtpServer: %s\n", why.c_str());
  std::abort();
}

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void WriteLines(const fs::path& path, const std::vector<std::string>& lines) {
  const fs::path draft = path.string() + ".new";
  {
    std::ofstream file(draft);
    for (const std::string& line : lines) file << line << '\n';
  }
  fs::rename(draft, path);
}

fs::path SourceFile(const char* name) {
  const char* root = std::getenv("YAGURA_SOURCE_DIR");
  if (root == nullptr) Die("YAGURA_SOURCE_DIR is not set");
  return fs::path(root) / "common" / "testing" / name;
}

}  // namespace

SmtpServer::SmtpServer(const Options& options) : options_(options), folder_(MakeTemporaryFolder()) {
  if (options_.tls != Tls::kNone) {
    Process openssl({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                     "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                     "-keyout", (folder_ / "key.pem").string(), "-out", ca_file().string()},
                    folder_ / "openssl.log");
    if (openssl.Wait() != 0) Die(ReadFile(folder_ / "openssl.log"));
  }
  Launch();
}

SmtpServer::~SmtpServer() {
  Stop();
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

void SmtpServer::Launch() {
  fs::remove(folder_ / "port");
  std::vector<std::string> args = {"/usr/bin/python3", SourceFile("smtp_server.py").string(),
                                   folder_.string()};
  if (options_.tls != Tls::kNone) {
    args.insert(args.end(),
                {"--tls", options_.tls == Tls::kStartTls ? "starttls" : "implicit", "--certificate",
                 ca_file().string(), "--key", (folder_ / "key.pem").string()});
  }
  if (!options_.user.empty()) {
    args.insert(args.end(), {"--user", options_.user, "--password", options_.password});
  }
  process_ = std::make_unique<Process>(args, folder_ / "server.log");
  const auto deadline = std::chrono::steady_clock::now() + Patient(std::chrono::seconds(30));
  while (!fs::exists(folder_ / "port")) {
    if (process_->Poll() || std::chrono::steady_clock::now() > deadline) {
      Die("did not start: " + ReadFile(folder_ / "server.log"));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  port_ = ParseNumber<int>(ReadFile(folder_ / "port")).value_or(0);
}

void SmtpServer::Stop() { process_.reset(); }

void SmtpServer::Restart() {
  Stop();
  Launch();
}

std::vector<SmtpServer::Received> SmtpServer::Mails() const {
  std::vector<Received> mails;
  for (int i = 1; fs::exists(folder_ / "mail" / (std::to_string(i) + ".json")); ++i) {
    mails.push_back({ReadFile(folder_ / "mail" / (std::to_string(i) + ".eml")),
                     ReadFile(folder_ / "mail" / (std::to_string(i) + ".json"))});
  }
  return mails;
}

void SmtpServer::Script(const std::vector<std::string>& lines) const {
  WriteLines(folder_ / "script", lines);
}

void SmtpServer::RefuseRecipients(const std::vector<std::string>& addresses) const {
  WriteLines(folder_ / "rcpt", addresses);
}

std::string SmtpServer::Received::Header(std::string_view name) const {
  std::string value;
  bool inside = false;
  for (std::string_view line : Split(message, '\n')) {
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty()) break;
    if (inside) {
      if (line.front() != ' ' && line.front() != '\t') break;
      value += line;
    } else if (line.size() > name.size() && line[name.size()] == ':' &&
               EqualsIgnoreCase(line.substr(0, name.size()), name)) {
      value = Trim(line.substr(name.size() + 1));
      inside = true;
    }
  }
  return value;
}

}  // namespace yagura::testing
