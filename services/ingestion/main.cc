#include "common/rpc/run_service.h"
#include "services/ingestion/app.h"
#include "services/ingestion/settings.h"

int main(int argc, char** argv) {
  using namespace yagura;  // NOLINT(google-build-using-namespace)
  return rpc::RunService(argc, argv, "ingestion", [](config::SettingsReader& reader) {
    return [settings = ingestion::Settings::Read(reader)](const rpc::Platform& platform) {
      return ingestion::NewApp(settings, platform);
    };
  });
}
